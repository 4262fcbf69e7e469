"""What one notch more of a row costs, in words: +1 layer: +852 K params, +3.29 MiB, +16 % time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.cost.calibration import Calibration
from engine.cost.marginal import Baseline, Change, baseline, compare, marginal
from engine.devices.card import Device
from engine.parameter import Value
from engine.run_spec import run_parameters
from engine.spec import model_parameters
from engine.words import binary_bytes, duration, short_count, signed_percent
from trickster_gui.design.binding import Part, spoken
from trickster_gui.design.notches import run_values
from trickster_gui.document import Design

PRICED_RUN = frozenset({"batch_size", "accumulation_steps", "seq_len", "steps"})
PRICED_MODEL = frozenset(
    {"hidden_dim", "num_layers", "max_seq_len", "num_heads", "num_kv_heads", "head_dim", "mlp_dim",
     "vocab_size", "dropout"}
)  # fmt: skip
PRICED = PRICED_RUN | PRICED_MODEL
# Where a notch without a cost is nothing to speak of.
_SILENT = frozenset({"dropout"})


@dataclass(frozen=True)
class Machine:
    """Where a run is to go and what is known of its speed: what costs of a notch rest on."""

    device: Device | None = None
    calibration: Calibration | None = None


def baseline_of(design: Design, machine: Machine) -> Baseline | None:
    """The price of the design as it is; None where it cannot be trained."""
    return baseline(design.model, design.run, machine.device, machine.calibration)


def notch_costs(
    design: Design, keys: Sequence[tuple[Part, str]], machine: Machine
) -> dict[tuple[Part, str], tuple[str, ...]]:
    """Words for each row, from the longest to the shortest; rows at their end are left out."""
    base = baseline_of(design, machine)
    found: dict[tuple[Part, str], tuple[str, ...]] = {}
    if base is None:
        return found
    for part, name in keys:
        stepped = next_value(base, part, name)
        if stepped is not None:
            value, change = stepped
            if not (change.free and name in _SILENT):
                now = getattr(design.model if part == "model" else design.run, name)
                found[part, name] = notch_words(step_words(name, now, value), change, name)
    return found


def next_value(
    base: Baseline, part: Part, name: str, direction: int = 1
) -> tuple[Value, Change] | None:
    """Where one notch leads and what it costs; None at the end, or where it leads to nothing."""
    if name not in PRICED:
        return None
    if part == "model":
        found = marginal(base, name, direction)
        return None if found is None else (found.next_value, found.change)
    values = run_values(name, base.run, base.spec)
    at = values.index(getattr(base.run, name)) + direction
    if not 0 <= at < len(values) or getattr(base.run, name) is None:
        return None
    change = compare(base, base.spec, base.run.replace(**{name: values[at]}))
    return None if change is None else (values[at], change)


def notch_words(step: str, change: Change, name: str) -> tuple[str, ...]:
    """Wordings of one notch, each shorter than the last; figures are never cut."""
    if change.free:
        return f"{step}: nothing in this run", "nothing in this run"
    params = short_count(change.params_delta, signed=True) if change.params_delta else ""
    memory = (
        binary_bytes(change.memory_delta_bytes, signed=True) if change.memory_delta_bytes else ""
    )
    time = signed_percent(change.time_ratio) if abs(change.time_ratio - 1.0) >= 0.0005 else ""
    word = "FLOPs" if change.basis == "arithmetic" else "time"
    full = [f"{params} params" if params else "", memory, f"{time} {word}" if time else ""]
    if name == "steps" and change.run_s is not None:
        full[-1] = f"{signed_duration(change.run_s[1] - change.run_s[0])}, {full[-1]}"
    closed = [params, memory, time and (time if word == "time" else f"{time} FLOPs")]
    wordings = (
        f"{step}: {_joined(full)}",
        f"{step}: {_joined([*full[:2], closed[2]])}",
        f"{step}: {_joined(closed)}",
        _joined(closed),
        _joined(closed[:2]) or _joined(closed),
    )
    return tuple(dict.fromkeys(wordings))


def signed_duration(seconds: float) -> str:
    """A time more or less: +8 min 20 s."""
    return duration(seconds) if seconds < 0 else f"+{duration(seconds)}"


def step_words(name: str, now: Value, then: Value) -> str:
    """What one notch is: +1 layer, +256, 64."""
    parameter = model_parameters().get(name) or run_parameters()[name]
    if not (isinstance(now, int) and isinstance(then, int)):
        return spoken(then, parameter)
    unit = parameter.unit.removesuffix("s") if abs(then - now) == 1 else parameter.unit
    words = _SHORT.get(unit, "")
    return f"{then - now:+,} {words}".rstrip()


# The row's name says of what; shorter where the unit would crowd out the cost.
_SHORT = {"block": "layer", "blocks": "layers", "head": "head", "heads": "heads"}


def _joined(parts: Sequence[str]) -> str:
    return ", ".join(part for part in parts if part)
