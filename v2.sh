cd /tmp/tt; $PY var.py > var2.txt 2>&1
export TRICKSTER_HOME=/tmp/tt/home9; cd /work/wt/time; rm -rf /tmp/tt/home9 /tmp/tt/e2e*
$PY -m engine calibrate --device cpu > /tmp/tt/e2e.txt 2>&1
for d in first-minute good-design; do $PY -m engine train $d --corpus python-stdlib --run /tmp/tt/e2e_$d --steps 30 --batch 6 --set sample_tokens=3 --set validation_tokens=2000 --set warmup_steps=3 --set save_every=0 --set keep_best=0 2>&1 | tail -1 >> /tmp/tt/e2e.txt; done
