"""How far traced training memory is from what a real process takes on this computer's CPU.

python -m benchmarks.memory_process [COUNT [FIRST]]

Designs are drawn whose step takes 50 MB to 2 GB; each runs two real updates in a process of its
own (engine.training.real_step says how its memory is measured). Linux only.
"""

from __future__ import annotations

import random
import statistics
import sys
import time

from benchmarks.memory_formula import random_design, random_run, summary
from engine.cost.memory import training_memory
from engine.cost.tape import SAMPLING, VALIDATION
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec
from engine.training.real_step import measured_step
from engine.training.traced_step import as_computed_here, traced_step

_COUNT = 24
_LEAST_BYTES, _MOST_BYTES = 50 * 10**6, 2 * 10**9
# Arithmetic that a small computer does in some seconds.
_MOST_WORK = 10**12
_PROMISED = 0.05


def drawn(seed: int) -> tuple[ModelSpec, RunSpec]:
    """A random design of the size wanted, the sizes evenly spread; the same for a seed.

    With an odd one activations and logits take most of it, with an even one they don't.
    """
    rng = random.Random(seed)
    wanted = _LEAST_BYTES * (_MOST_BYTES / _LEAST_BYTES) ** rng.random()
    while True:
        spec = random_design(rng)
        run = check_run(random_run(rng, spec).replace(device="cpu"), spec)
        memory = training_memory(spec, as_computed_here(run))
        peak = max(p.bytes for p in memory.phases if p.name not in (VALIDATION, SAMPLING))
        work = memory.gradients_bytes * 2 * run.tokens_per_step(spec)
        kinds = memory.at_peak
        busy = kinds["activations"] + kinds["logits"] > peak / 2
        if abs(peak / wanted - 1) < 0.25 and work < _MOST_WORK and busy == bool(seed % 2):
            return spec, run


def main() -> int:
    """Print each design, then the distribution; 1 where one is further off than promised."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else _COUNT
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    errors, began = [], time.perf_counter()
    for seed in range(first, first + count):
        spec, run = drawn(seed)
        traced = traced_step(spec, as_computed_here(run)).peak_bytes
        real = measured_step(spec, run)
        assert real.resident_bytes is not None
        errors.append(real.resident_bytes / traced - 1)
        print(
            f"{errors[-1]:+.2%} of {traced / 10**6:.0f} MB (live storages "
            f"{real.live_bytes / traced - 1:+.3%}), seed {seed}: {summary(spec, run)}",
            flush=True,
        )
    sizes = sorted(abs(error) for error in errors)
    print(
        f"{count} designs, {time.perf_counter() - began:.0f} s; |resident ÷ trace − 1|: median "
        f"{statistics.median(sizes):.2%}, largest {sizes[-1]:.2%}; "
        f"{sum(error > 0 for error in errors)} above the trace"
    )
    return int(sizes[-1] > _PROMISED)


if __name__ == "__main__":
    sys.exit(main())
