"""What another value costs: one more notch of a slider, the other position of a switch.

A design is priced once (``baseline``); every change is priced against it. Memory is what one
chip of the device holds, at the peak; time is that of the whole run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.cost.calibration import Calibration
from engine.cost.chips import as_used
from engine.cost.flops import recomputed_flops_per_token
from engine.cost.limits import chip_batch
from engine.cost.memory import peak_of_batch
from engine.cost.parameters import count
from engine.cost.time import Estimate, flops_per_step, predicted_step
from engine.devices.card import Device
from engine.parameter import Value
from engine.run_spec import RunSpec, run_problems
from engine.spec import ModelSpec, problems
from engine.steps import linked_changes, next_notch

Basis = Literal["measured", "estimate", "arithmetic", "unknown"]


@dataclass(frozen=True)
class Baseline:
    """A design and run with what they cost where they are to be trained.

    Attributes:
        spec, run: the design; the run names the device where one is given.
        device, calibration: what time is predicted from; None where nothing is known.
        params: parameters.
        memory_bytes: of a training step on one chip of the device, at the peak.
        step: time of one update; None where nothing is known of the device's speed.
    """

    spec: ModelSpec
    run: RunSpec
    device: Device | None
    calibration: Calibration | None
    params: int
    memory_bytes: int
    step: Estimate | None


@dataclass(frozen=True)
class Change:
    """What another design or run costs more (or less) than the baseline.

    Attributes:
        params_delta: parameters more.
        memory_delta_bytes: training memory more.
        time_ratio: time of the whole run afterwards, divided by that now; of its arithmetic
            where the basis is ``arithmetic``.
        basis: whether times are measured or estimated ones, or only the arithmetic is known.
            ``unknown``: the change takes away what the prediction rests on.
        step_s: seconds of one update, before and after; None without predicted times.
        run_s: seconds of the whole run, likewise.
    """

    params_delta: int
    memory_delta_bytes: int
    time_ratio: float
    basis: Basis
    step_s: tuple[float, float] | None = None
    run_s: tuple[float, float] | None = None

    @property
    def free(self) -> bool:
        """Whether nothing that is counted changes."""
        same_time = self.time_ratio == 1.0 and self.basis != "unknown"
        return same_time and not (self.params_delta or self.memory_delta_bytes)


@dataclass(frozen=True)
class Marginal:
    """One notch of a slider: where it would stand, and what that costs."""

    next_value: Value
    change: Change


def baseline(
    spec: ModelSpec,
    run: RunSpec,
    device: Device | None = None,
    calibration: Calibration | None = None,
) -> Baseline | None:
    """Price a design; None where it cannot be trained as it is."""
    if problems(spec) or run_problems(run, spec):
        return None
    if device is not None:
        run = run.replace(device=device.name)
    return Baseline(
        spec=spec,
        run=run,
        device=device,
        calibration=calibration,
        params=count(spec).total,
        memory_bytes=_memory(spec, run, device),
        step=None if device is None else predicted_step(spec, run, device, calibration),
    )


def compare(base: Baseline, spec: ModelSpec, run: RunSpec) -> Change | None:
    """What ``spec`` and ``run`` cost beside the baseline; None where they cannot be trained."""
    if problems(spec) or run_problems(run, spec):
        return None
    ratio, basis, step_s, run_s = _time(base, spec, run)
    return Change(
        params_delta=count(spec).total - base.params,
        memory_delta_bytes=_memory(spec, run, base.device) - base.memory_bytes,
        time_ratio=ratio,
        basis=basis,
        step_s=step_s,
        run_s=run_s,
    )


def marginal(base: Baseline, name: str, direction: int = 1) -> Marginal | None:
    """What one notch more of model parameter ``name`` costs; None at its end or where invalid."""
    value = next_notch(name, base.spec, direction)
    if value == getattr(base.spec, name):
        return None
    changed = base.spec.replace(**linked_changes(base.spec, name, value))
    change = compare(base, changed, base.run)
    return None if change is None else Marginal(value, change)


def _memory(spec: ModelSpec, run: RunSpec, device: Device | None) -> int:
    batch = run.batch_size
    if device is not None:
        batch = chip_batch(run.batch_size, as_used(device, run))
    return peak_of_batch(spec, run, batch)


def _work(spec: ModelSpec, run: RunSpec) -> int:
    """FLOPs of the whole run, those done again under gradient checkpointing too."""
    again = 0
    if run.gradient_checkpointing:
        again = recomputed_flops_per_token(spec, run.sequence_length(spec))
    return (flops_per_step(spec, run) + again * run.tokens_per_step(spec)) * run.steps


_Pair = tuple[float, float]


def _time(
    base: Baseline, spec: ModelSpec, run: RunSpec
) -> tuple[float, Basis, _Pair | None, _Pair | None]:
    """Ratio of the runs' times, what it rests on, and seconds of a step and of the run."""
    if base.step is None or base.device is None:
        return _work(spec, run) / _work(base.spec, base.run), "arithmetic", None, None
    step = predicted_step(spec, run, base.device, base.calibration)
    if step is None:
        return 1.0, "unknown", None, None
    step_s = (base.step.seconds, step.seconds)
    run_s = (step_s[0] * base.run.steps, step_s[1] * run.steps)
    measured = base.step.kind == step.kind == "measured"
    return run_s[1] / run_s[0], "measured" if measured else "estimate", step_s, run_s
