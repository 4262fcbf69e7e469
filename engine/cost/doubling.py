"""What if: a design with twice the context, width or depth, in multiples of what it costs now."""

from __future__ import annotations

from dataclasses import dataclass

from engine.cost.calibration import Calibration
from engine.cost.flops import flops_per_token
from engine.cost.memory import training_memory
from engine.cost.parameters import count
from engine.cost.time import predicted_step
from engine.devices.card import Device
from engine.parameter import Value
from engine.run_spec import RunSpec, run_problems
from engine.spec import ModelSpec, problems

COSTS = ("parameters", "flops", "memory", "time")


@dataclass(frozen=True)
class Doubling:
    """One thing doubled.

    Attributes:
        name: what is doubled: context, hidden, layers.
        ratios: how many times as much each of COSTS is then; None where the design is beyond what
            can be built. ``flops`` are those of one sequence, so that twice the context shows what
            attention costs; ``memory`` is the peak of a training step; ``time`` that of one step,
            left out where the device's speed is not known.
    """

    name: str
    ratios: dict[str, float] | None


def doublings(
    spec: ModelSpec,
    run: RunSpec,
    device: Device | None = None,
    calibration: Calibration | None = None,
) -> tuple[Doubling, ...]:
    """Costs of three larger designs relative to this valid one.

    Twice the width keeps the proportions: twice the feed-forward size, and twice the heads of the
    same size.
    """
    now = _costs(spec, run, device, calibration)
    rows = []
    for name, change, longer in _larger(spec, run):
        other = spec.replace(**change)
        if problems(other) or run_problems(longer, other):
            rows.append(Doubling(name, None))
            continue
        then = _costs(other, longer, device, calibration)
        shared = [cost for cost in COSTS if cost in now and cost in then]
        rows.append(Doubling(name, {cost: then[cost] / now[cost] for cost in shared}))
    return tuple(rows)


def _larger(spec: ModelSpec, run: RunSpec) -> list[tuple[str, dict[str, Value], RunSpec]]:
    wider: dict[str, Value] = {
        "hidden_dim": 2 * spec.hidden_dim,
        "mlp_dim": 2 * spec.mlp_dim,
        "num_heads": 2 * spec.num_heads,
        "num_kv_heads": 2 * spec.num_kv_heads,
    }
    length = run.sequence_length(spec)
    longer = run.replace(seq_len=None if run.seq_len is None else 2 * length)
    return [
        ("context", {"max_seq_len": 2 * spec.max_seq_len}, longer),
        ("hidden", wider, run),
        ("layers", {"num_layers": 2 * spec.num_layers}, run),
    ]


def _costs(
    spec: ModelSpec, run: RunSpec, device: Device | None, calibration: Calibration | None
) -> dict[str, float]:
    length = run.sequence_length(spec)
    found: dict[str, float] = {
        "parameters": count(spec).total,
        "flops": flops_per_token(spec, length).training * length,
        "memory": training_memory(spec, run).step_peak_bytes,
    }
    step = None if device is None else predicted_step(spec, run, device, calibration)
    if step is not None:
        found["time"] = step.seconds
    return found
