"""What the other values of a row would cost, to the last parameter: for its tooltip and for F1.

Worked out when a person asks, since there are more of them than one needs to see at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.cost.marginal import Baseline, Change, compare
from engine.parameter import Parameter, Value
from engine.run_spec import run_parameters
from engine.spec import model_parameters
from engine.steps import linked_changes
from engine.words import binary_bytes, duration, signed_percent
from trickster_gui.design.binding import Part, exact_text
from trickster_gui.design.notch_costs import (
    PRICED,
    Machine,
    baseline_of,
    next_value,
)
from trickster_gui.document import Design

# Switches and choices whose cost is worked out. The others change no count, or one that nothing
# here predicts: the learning rate's schedule, compiling.
COMPARED = frozenset(
    {"tied_embeddings", "activation", "norm", "norm_position", "position", "rope_scaling",
     "qkv_bias", "attention_output_bias", "mlp_bias", "head_bias",
     "precision", "optimizer", "gradient_checkpointing"}
)  # fmt: skip


def alternatives(design: Design, part: Part, name: str, machine: Machine) -> tuple[str, ...]:
    """A sentence for each other value: a notch less and more, or each other position."""
    if name not in PRICED | COMPARED:
        return ()
    base = baseline_of(design, machine)
    if base is None:
        return ()
    parameter = (model_parameters() if part == "model" else run_parameters())[name]
    found = tuple(_notches(base, part, name) if name in PRICED else _positions(base, part, name))
    said = tuple(f"{_called(value, parameter)}: {words(change)}." for value, change in found)
    timed = any(change.time_ratio != 1.0 for _, change in found)
    return said + (_basis(base) if timed else ())


def words(change: Change) -> str:
    """A change in full: +852,480 parameters, +13.1 MiB (13,729,792 bytes), +16 % time."""
    if change.free:
        return "costs the same"
    parts = []
    if change.params_delta:
        plural = "" if abs(change.params_delta) == 1 else "s"
        parts.append(f"{change.params_delta:+,} parameter{plural}")
    delta = change.memory_delta_bytes
    if delta:
        parts.append(f"{binary_bytes(delta, signed=True)} of memory ({delta:+,} bytes)")
    if change.basis == "unknown":
        parts.append("in a time that has not been measured")
    elif change.time_ratio != 1.0:
        parts.append(_time(change))
    return ", ".join(parts)


def _time(change: Change) -> str:
    percent = signed_percent(change.time_ratio)
    if change.step_s is None or change.run_s is None:
        return f"{percent} arithmetic"
    now, then = change.step_s
    if now == then:  # only the number of steps changes
        return f"{percent} time ({duration(change.run_s[0])} → {duration(change.run_s[1])})"
    return f"{percent} time (a step {duration(now)} → {duration(then)})"


def _notches(base: Baseline, part: Part, name: str) -> Iterator[tuple[Value, Change]]:
    for direction in (-1, 1):
        stepped = next_value(base, part, name, direction)
        if stepped is not None:
            yield stepped


def _positions(base: Baseline, part: Part, name: str) -> Iterator[tuple[Value, Change]]:
    """Each other position that can be trained, whatever has to change with it left as it is."""
    parameter = (model_parameters() if part == "model" else run_parameters())[name]
    now = getattr(base.spec if part == "model" else base.run, name)
    others: tuple[Value, ...] = tuple(parameter.choices or (False, True))
    for value in others:
        if value == now:
            continue
        spec, run = base.spec, base.run
        if part == "model":
            spec = spec.replace(**linked_changes(spec, name, value))
        else:
            run = run.replace(**{name: value})
        change = compare(base, spec, run)
        if change is not None:
            yield value, change


def _called(value: Value, parameter: Parameter) -> str:
    if isinstance(value, bool):
        return "On" if value else "Off"
    if parameter.choices is not None and isinstance(value, str):
        return parameter.choices.get(value, value)
    return exact_text(value, parameter)


def _basis(base: Baseline) -> tuple[str, ...]:
    """What the times above rest on."""
    if base.step is None or base.device is None:
        return ("No speed is known here: arithmetic stands for time.",)
    return (f"Times on {base.device.title}: {base.step.source}.",)
