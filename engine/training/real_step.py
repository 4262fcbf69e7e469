"""The memory of a real training step, in a process of its own.

``python -m engine.training.real_step`` reads a design and a run as JSON from standard input and
answers with JSON on standard output; ``measured_step`` starts it.

On the CPU resident memory is compared with what the tensors need, so everything else has to be
kept out of it:

- The libraries are loaded and warmed up first, by an update of the same model with one layer:
  threads, the code that oneDNN makes for each shape, its buffers and OpenMP's, and autograd's
  tables are there before the baseline is taken.
- glibc keeps freed memory and cuts it into pieces (on one model that was 46 % more than the
  tensors took). Told to give every block of 64 KiB and more pages of its own, and to return them
  at once, it adds a few per cent. There is one arena, not one for each thread.
- The kernel's own record of the most pages that were resident (VmHWM in /proc/self/status) is set
  back (5 to /proc/self/clear_refs) when the baseline is taken, so no moment is missed between two
  looks.
- Memory that is asked for as zeros becomes resident only when something is written there: the
  gradient of an embedding would count by the tokens that happen to be in the batch. glibc is told
  to fill whatever it hands out (MALLOC_PERTURB_), so that all of a tensor counts, as on a GPU.

The step is then run once more with every live storage counted (LiveStorages), which takes longer
and makes Python objects of its own: it is kept out of resident memory.

On CUDA the allocator's own peak of live blocks is read (``max_memory_allocated``), which is what
the formula predicts; the context and what the allocator holds in reserve come on top. This path
could not be run where it was written: it is unverified.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from engine.backends.torch_backend import TorchBackend, open_backend
from engine.cost.tape import EMBEDDING
from engine.launch import worker_environment
from engine.models.decoder import Decoder, build
from engine.parameter import SpecError
from engine.run_spec import RunSpec, run_from_dict, run_to_dict
from engine.spec import ModelSpec, spec_from_dict, spec_to_dict
from engine.training.memory_meter import LiveStorages
from engine.training.phase_marks import phases_told
from engine.training.traced_step import standing, update_told
from engine.training.update import Batch, Learner, set_up

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_TIDY = {
    "MALLOC_MMAP_THRESHOLD_": str(64 << 10),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 10),
    "MALLOC_TOP_PAD_": "0",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_PERTURB_": "165",
}


@dataclass(frozen=True)
class MeasuredStep:
    """What a real step took.

    Attributes:
        live_bytes: most bytes of live tensors (on CUDA as its allocator counts them).
        live_phase: when that was; "" where the device does not tell.
        resident_bytes: most resident memory beyond what the process had before it made the
            model; None on CUDA.
    """

    live_bytes: int
    live_phase: str
    resident_bytes: int | None


def measured_step(spec: ModelSpec, run: RunSpec) -> MeasuredStep:
    """Run two real updates of a valid design on ``run.device`` (cpu or cuda:N) in a child process.

    Raises SpecError where this cannot be measured here, or the child fails: the message is its
    last line, and memory that is used up ends it without one.
    """
    if run.device == "cpu" and not (_STATUS.exists() and _CLEAR_REFS.exists()):
        raise SpecError("real", "measuring a real process on the CPU needs Linux (/proc)")
    question = json.dumps({"model": spec_to_dict(spec), "run": run_to_dict(run)})
    done = subprocess.run(
        [sys.executable, "-m", "engine.training.real_step"],
        input=question, capture_output=True, text=True, encoding="utf-8", check=False,
        env={**worker_environment(), **_TIDY},
    )  # fmt: skip
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1][:300] if lines else "the system ended it; is there enough memory?"
        raise SpecError("real", f"the real step failed: {reason}")
    return MeasuredStep(**json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Answer one question; 2 and one line of reason where it cannot be run here."""
    try:
        print(json.dumps(asdict(_answer())))
    except SpecError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _answer() -> MeasuredStep:
    question = json.load(sys.stdin)
    spec, run = spec_from_dict(question["model"]), run_from_dict(question["run"])
    backend = open_backend(run.device, run.precision, threads=run.threads, seed=run.seed)
    measure = _on_cuda if backend.device.type == "cuda" else _on_cpu
    return measure(spec, run, backend)


def _on_cpu(spec: ModelSpec, run: RunSpec, backend: TorchBackend) -> MeasuredStep:
    _warm_up(spec, run, backend)
    gc.collect()
    _return_memory()
    _CLEAR_REFS.write_text("5", encoding="ascii")
    before = _status_bytes("VmRSS")
    model, learner = _learner(spec, run, backend)
    for _ in range(2):
        _update(learner, spec, run, backend)
    resident = _status_bytes("VmHWM") - before
    live = LiveStorages()
    live.add(standing(learner))
    live.phase = EMBEDDING

    def tell(phase: str) -> None:
        live.phase = phase

    with live, phases_told(model, tell):
        update_told(learner, _batches(spec, run, backend), run, tell)
    phase = max(live.peaks, key=lambda name: live.peaks[name])
    return MeasuredStep(live.peak_bytes, phase, resident)


def _on_cuda(spec: ModelSpec, run: RunSpec, backend: TorchBackend) -> MeasuredStep:
    _, learner = _learner(spec, run, backend)
    _update(learner, spec, run, backend)
    torch.cuda.reset_peak_memory_stats(backend.device)
    _update(learner, spec, run, backend)
    backend.synchronize()
    return MeasuredStep(int(torch.cuda.max_memory_allocated(backend.device)), "", None)


def _warm_up(spec: ModelSpec, run: RunSpec, backend: TorchBackend) -> None:
    """Everything that is made once for these shapes, by a model that is thrown away."""
    thin, once = spec.replace(num_layers=1), run.replace(accumulation_steps=1)
    _, learner = _learner(thin, once, backend)
    _update(learner, thin, once, backend)


def _learner(spec: ModelSpec, run: RunSpec, backend: TorchBackend) -> tuple[Decoder, Learner]:
    model = build(spec, device=backend.device, dtype=backend.weight_dtype, seed=run.seed)
    set_up(model, run, in_fp32=backend.attention_in_fp32)
    return model, Learner(model, run, backend.autocast)


def _update(learner: Learner, spec: ModelSpec, run: RunSpec, backend: TorchBackend) -> None:
    update_told(learner, _batches(spec, run, backend), run, lambda _: None)


def _batches(spec: ModelSpec, run: RunSpec, backend: TorchBackend) -> Iterator[Batch]:
    shape = (run.batch_size, run.sequence_length(spec))
    for _ in range(run.accumulation_steps):
        inputs_BT = torch.randint(spec.vocab_size, shape, device=backend.device)
        targets_BT = torch.randint(spec.vocab_size, shape, device=backend.device)
        yield inputs_BT, targets_BT


def _return_memory() -> None:
    """Let glibc give back what it holds in reserve; another C library has its own ways."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status_bytes(name: str) -> int:
    """A line of /proc/self/status that is in kB."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        field, _, value = line.partition(":")
        if field == name:
            return int(value.split()[0]) << 10
    raise SpecError("real", f"/proc/self/status of this system does not tell {name}")


if __name__ == "__main__":
    sys.exit(main())
