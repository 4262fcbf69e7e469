"""What one more notch of a slider costs."""

from __future__ import annotations

from dataclasses import dataclass

from engine.cost.flops import flops_per_token
from engine.cost.memory import training_memory
from engine.cost.parameters import count
from engine.parameter import Value
from engine.run_spec import RunSpec, run_problems
from engine.spec import ModelSpec, problems
from engine.steps import linked_changes, next_notch


@dataclass(frozen=True)
class Marginal:
    """The change that one notch brings.

    Attributes:
        next_value: where the slider would stand.
        params_delta: parameters more (or fewer).
        memory_delta_bytes: training memory more (or less), at the peak.
        flops_ratio: training FLOPs a token afterwards, divided by those now.
    """

    next_value: Value
    params_delta: int
    memory_delta_bytes: int
    flops_ratio: float


def marginal(spec: ModelSpec, run: RunSpec, name: str, direction: int = 1) -> Marginal | None:
    """What one notch more of parameter ``name`` costs; None at its end or where it is invalid."""
    value = next_notch(name, spec, direction)
    if value == getattr(spec, name):
        return None
    changed = spec.replace(**linked_changes(spec, name, value))
    if problems(spec) or problems(changed) or run_problems(run, spec):
        return None
    if run_problems(run, changed):  # a shorter context than the run's sequences
        return None
    now = flops_per_token(spec, run.sequence_length(spec)).training
    then = flops_per_token(changed, run.sequence_length(changed)).training
    before, after = training_memory(spec, run), training_memory(changed, run)
    return Marginal(
        next_value=value,
        params_delta=count(changed).total - count(spec).total,
        memory_delta_bytes=after.peak_bytes - before.peak_bytes,
        flops_ratio=then / now,
    )
