"""Measures how fast this computer trains, so that times can be predicted before a run.

Real training steps of small designs take turns until a few seconds are over: whatever else the
machine does for a moment, it does to all of them. Each counts with the median of its steps, and
prices of every kind of work are fitted to these (engine.training.price_fit).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from engine.backends.torch_backend import TorchBackend, open_backend
from engine.cost.calibration import (
    Calibration,
    CalibrationError,
    MeasuredStep,
    RunSpeed,
    load_calibration,
    machine,
    save,
)
from engine.cost.experience import cost_of
from engine.cost.step_work import step_work
from engine.devices.contention import CpuTimes, contested, cpu_times
from engine.models.decoder import build
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.loop import Parts
from engine.training.price_fit import fitted_speed
from engine.training.update import Learner, set_up

_SECONDS = 8.0
# Steps of one design in a row: the first finds its weights gone from the caches.
_IN_A_ROW = 3
_LEAST_TURNS = 2
# Runs that are remembered: of one design, of all.
_KEPT_OF_A_DESIGN, _KEPT_RUNS = 3, 24
# A run that took so many times as long as foretold, or a part as long, was no ordinary one.
_BEYOND_BELIEF = 4.0
# A run counts as long as no more than this part of its threads was wanted by other programs: a
# window that draws its chart takes some of it.
_UNDISTURBED = 0.25


def _design(
    width: int, layers: int, seq_len: int, vocab_size: int, heads: int, batch_size: int,
    **others: str | bool | int | float,
) -> tuple[ModelSpec, RunSpec]:  # fmt: skip
    gated = others.get("activation", "swiglu") in ("swiglu", "geglu")
    spec = ModelSpec(
        hidden_dim=width, num_layers=layers, max_seq_len=seq_len, vocab_size=vocab_size,
        num_heads=heads, num_kv_heads=heads, mlp_dim=(3 if gated else 4) * width,
    )  # fmt: skip
    return spec.replace(**others), RunSpec(batch_size=batch_size)


_GPT = {"activation": "gelu", "norm": "layernorm", "position": "learned"}
# Each is rich in another kind of work, named in the margin; together they are some 1.2 s on two
# cores for one step of each.
DESIGNS = (
    _design(32, 2, 32, 65, 2, 4, **_GPT),  # launching
    _design(64, 4, 64, 65, 2, 2),  # launching
    _design(128, 2, 64, 256, 4, 12, **_GPT),
    _design(64, 6, 128, 65, 2, 8),  # launching with several threads
    _design(256, 1, 128, 256, 8, 8),  # element by element
    _design(512, 1, 64, 256, 8, 6, position="none"),  # products
    _design(768, 1, 64, 256, 12, 8, **_GPT),  # products
    _design(512, 2, 32, 256, 8, 1),  # parameters, thin products
    _design(256, 1, 32, 16_384, 4, 1, tied_embeddings=False),  # parameters
    _design(64, 1, 1024, 65, 1, 2),  # scores
    _design(128, 1, 512, 65, 8, 4, position="none"),  # scores in narrow heads
    _design(96, 2, 32, 256, 6, 48, activation="relu"),  # scores in short sequences
    _design(64, 1, 64, 32_000, 2, 6),  # vocabulary
    _design(256, 3, 256, 4_096, 8, 4, num_kv_heads=2, activation="geglu"),
    _design(384, 4, 128, 1_024, 6, 6),
    _design(128, 2, 128, 256, 4, 8, dropout=0.1),  # random numbers
)


def fingerprint() -> dict[str, str | int]:
    """What a calibration belongs to."""
    return {**machine(), "torch": str(torch.__version__), "python": sys.prefix}


def calibrate(
    device: str = "cpu", precision: str = "fp32", threads: int | None = None
) -> Calibration:
    """Measure real training steps of small designs (about 10 s), save the prices, return all.

    Prices of other precisions and threads are kept, and so is what runs took. Raises SpecError
    for a device or precision that is not there, OSError where the file cannot be written.
    """
    backend = open_backend(device, precision, threads=threads)
    before = cpu_times()
    steps = measure(backend, DESIGNS)
    disturbed = contested(before, cpu_times(), _threads(backend))
    new = replace(fitted_speed(precision, _threads(backend), steps), contested=disturbed)
    earlier = _earlier(str(backend.device))
    kept = [s for s in earlier.speeds if (s.precision, s.threads) != (new.precision, new.threads)]
    calibration = replace(earlier, speeds=(*kept, new), created=time.time())
    save(calibration)
    return calibration


def measure(
    backend: TorchBackend, designs: Sequence[tuple[ModelSpec, RunSpec]]
) -> list[MeasuredStep]:
    """The median time of a step of each design, measured in turns."""
    began = time.perf_counter()
    steppers = [_Stepper(backend, spec, run) for spec, run in designs]
    turns = 0
    while turns < _LEAST_TURNS or time.perf_counter() - began < _SECONDS:
        for stepper in steppers:
            stepper.turn()
        turns += 1
    return [stepper.measured() for stepper in steppers]


class _Stepper:
    """A design that is ready to be trained on noise, with the seconds of its steps so far."""

    def __init__(self, backend: TorchBackend, spec: ModelSpec, run: RunSpec) -> None:
        self._backend, self._spec = backend, spec
        self._run = run.replace(precision=backend.precision)
        model = build(spec, device=backend.device, dtype=backend.weight_dtype, seed=0)
        set_up(model, self._run, in_fp32=backend.attention_in_fp32)
        self._learner = Learner(model, self._run, backend.autocast)
        tokens = torch.randint(spec.vocab_size, (run.batch_size, spec.max_seq_len + 1))
        tokens = tokens.to(backend.device)
        self._batch = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        self._seconds: list[float] = []
        self._step()  # the first one makes what the others find

    def turn(self) -> None:
        """A few steps in a row."""
        for _ in range(_IN_A_ROW):
            began = time.perf_counter()
            self._step()
            self._seconds.append(time.perf_counter() - began)

    def measured(self) -> MeasuredStep:
        """What a step did and the median of its times."""
        work = step_work(self._spec, self._run, str(self._backend.device))
        return MeasuredStep(work, statistics.median(self._seconds))

    def _step(self) -> None:
        loss = self._learner.gradients([self._batch], 1)
        norm = self._learner.clip()
        torch.stack((loss, norm)).tolist()  # as the loop does, which waits for it
        self._learner.apply(1e-4)
        self._backend.synchronize()


def remember_speed(parts: Parts, step_s: float | None, since: CpuTimes) -> None:
    """Add a run's own measured speed to the calibration.

    ``since`` are the processor's counters of when it began. A run is left out that other
    programs disturbed, and one that took several times as long as foretold, or a small part of
    it: neither is a measure of this machine. A calibration that cannot be read or written is
    left as it is: it is no reason for a run that went well to fail.
    """
    if step_s is None or parts.learner.forward is not parts.learner.model:
        return  # compiled code has another speed than the prices are for
    if contested(since, cpu_times(), _threads(parts.backend)) > _UNDISTURBED:
        return
    spec, run, device = parts.spec, parts.run, str(parts.backend.device)
    step = MeasuredStep(step_work(spec, run, device), step_s)
    try:
        earlier = _earlier(device)
        new = RunSpeed(run.precision, _threads(parts.backend), step)
        if _believable(new, earlier):
            save(replace(earlier, runs=_remembered(earlier.runs, new)))
    except (CalibrationError, OSError):
        return


def _earlier(device: str) -> Calibration:
    """What is known of this machine, else an empty calibration of it."""
    found = load_calibration(device)
    here = fingerprint()
    if found is None or any(
        found.machine.get(key, here[key]) != here[key] for key in ("cpu", "torch")
    ):
        return Calibration((), here, device, time.time())
    return found


def _threads(backend: TorchBackend) -> int:
    return torch.get_num_threads() if backend.device.type == "cpu" else 0


def _believable(new: RunSpeed, earlier: Calibration) -> bool:
    """Whether a run was no more than some factor away from what prices foretell."""
    speed = earlier.speed(new.precision, new.threads)
    if speed is None or speed.threads != new.threads:
        return True
    ratio = new.step.seconds / cost_of(new.step.work, speed.prices)
    return 1 / _BEYOND_BELIEF < ratio < _BEYOND_BELIEF


def _remembered(runs: Sequence[RunSpeed], new: RunSpeed) -> tuple[RunSpeed, ...]:
    """``runs`` with ``new`` at the end, without the oldest ones that are too many."""
    alike = [run for run in runs if _same_design(run, new)]
    forgotten = {id(run) for run in alike[: max(0, len(alike) - _KEPT_OF_A_DESIGN + 1)]}
    kept = [run for run in runs if id(run) not in forgotten]
    return (*kept, new)[-_KEPT_RUNS:]


def _same_design(one: RunSpeed, other: RunSpeed) -> bool:
    same = (one.precision, one.threads) == (other.precision, other.threads)
    return same and one.step.work == other.step.work
