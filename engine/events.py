"""What a run says while it goes on: one frozen dataclass an event, one JSON line each.

The line's ``event`` key names the class, ``time`` is seconds since the epoch (UTC). Readers skip
lines that they cannot read and keep events that they do not know, so older windows read newer
runs.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class Preparing:
    """Before the first step: reading text, training the tokenizer, building the model.

    ``fraction`` (0 to 1) is None where progress cannot be told.
    """

    name: ClassVar[str] = "preparing"
    message: str
    fraction: float | None = None
    time: float = 0.0


@dataclass(frozen=True)
class Started:
    """A segment of the run begins at ``step`` (0, or the checkpoint that is resumed from).

    ``floors`` are nats a token of the validation text by name (uniform, 1-gram, …);
    ``predicted`` holds the estimates made before the run (``peak_bytes``; ``step_s`` with its
    ends ``step_s_low`` and ``step_s_high``).
    """

    name: ClassVar[str] = "started"
    step: int
    total_steps: int
    segment: int
    params: int
    device: str
    precision: str
    tokens_per_step: int
    train_tokens: int
    validation_tokens: int
    vocab_size: int
    floors: Mapping[str, float] = field(default_factory=dict)
    predicted: Mapping[str, float] = field(default_factory=dict)
    time: float = 0.0


@dataclass(frozen=True)
class Step:
    """One update of the weights. ``loss`` is the mean training loss of its batches, nats a token.

    ``tokens`` counts all tokens learned from so far; ``memory_bytes`` is the peak so far as the
    device tells it.
    """

    name: ClassVar[str] = "step"
    step: int
    tokens: int
    loss: float
    lr: float
    grad_norm: float
    step_s: float
    tokens_per_s: float
    memory_bytes: int | None = None
    time: float = 0.0


@dataclass(frozen=True)
class Validation:
    """Mean loss over ``measured_tokens`` of the validation part, dropout off, nats a token."""

    name: ClassVar[str] = "validation"
    step: int
    tokens: int
    loss: float
    measured_tokens: int
    best: bool
    time: float = 0.0


@dataclass(frozen=True)
class Sample:
    """A text that the model wrote after ``step`` updates: ``text`` continues ``prompt``."""

    name: ClassVar[str] = "sample"
    step: int
    prompt: str
    text: str
    tokens: int
    elapsed_s: float
    requested: bool = False
    time: float = 0.0


@dataclass(frozen=True)
class Saved:
    """A checkpoint is whole on disk; ``path`` is relative to the run directory."""

    name: ClassVar[str] = "saved"
    step: int
    path: str
    best: bool
    validation_loss: float | None = None
    time: float = 0.0


@dataclass(frozen=True)
class Paused:
    """The worker waits; a checkpoint of this step is on disk."""

    name: ClassVar[str] = "paused"
    step: int
    time: float = 0.0


@dataclass(frozen=True)
class Resumed:
    """The worker goes on after a pause, in the same process."""

    name: ClassVar[str] = "resumed"
    step: int
    time: float = 0.0


@dataclass(frozen=True)
class Warned:
    """Something that a person should know and that does not end the run."""

    name: ClassVar[str] = "warning"
    message: str
    step: int = 0
    time: float = 0.0


@dataclass(frozen=True)
class Finished:
    """The run ended as intended: ``completed``, ``stopped`` by a person, or ``early-stopping``.

    ``measured`` holds what Started's ``predicted`` foretold, as it came: ``peak_bytes`` and
    ``step_s`` (the usual time of an update in this segment), each where it could be measured.
    """

    name: ClassVar[str] = "finished"
    step: int
    reason: Literal["completed", "stopped", "early-stopping"]
    best_validation_loss: float | None = None
    best_step: int | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    time: float = 0.0


@dataclass(frozen=True)
class Failed:
    """The run ended by an error: what happened and what to do about it."""

    name: ClassVar[str] = "failed"
    message: str
    advice: str = ""
    step: int = 0
    time: float = 0.0


@dataclass(frozen=True)
class Unknown:
    """An event of a newer program: kept, not understood."""

    name: ClassVar[str] = "unknown"
    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    time: float = 0.0


Event = (
    Preparing | Started | Step | Validation | Sample | Saved | Paused | Resumed | Warned
    | Finished | Failed | Unknown
)  # fmt: skip

_TYPES: dict[str, type] = {
    kind.name: kind
    for kind in (Preparing, Started, Step, Validation, Sample, Saved, Paused, Resumed, Warned,
                 Finished, Failed)
}  # fmt: skip
_FIELDS = {kind: tuple(dataclasses.fields(kind)) for kind in _TYPES.values()}
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_line(event: Event) -> bytes:
    """The event as one JSON line with its newline; sets ``time`` to now where it is 0.

    Strict JSON has no NaN: a loss that is not finite is written as the string "nan", "inf" or
    "-inf".
    """
    if isinstance(event, Unknown):
        values: dict[str, Any] = {"event": event.kind, **event.values}
    else:
        values = {"event": event.name}
        for item in _FIELDS[type(event)]:
            values[item.name] = _writable(getattr(event, item.name))
    values["time"] = event.time or time.time()
    line = json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"
    # Half a surrogate pair (from a command line that is no UTF-8, say) becomes a question mark.
    return line.encode("utf-8", "replace")


def parse_line(line: bytes | str) -> Event | None:
    """The event on a line; None where the line is torn or is no event at all."""
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or not isinstance(values.get("event"), str):
        return None
    kind = _TYPES.get(values["event"])
    if kind is None:
        return _unknown(values)
    try:
        return _build(kind, values)
    except (TypeError, ValueError, OverflowError):
        return None


def _unknown(values: dict[str, Any]) -> Event:
    rest = {key: value for key, value in values.items() if key not in ("event", "time")}
    try:
        when = _read(values.get("time", 0.0), "float")
    except (ValueError, TypeError, OverflowError):
        when = 0.0
    return Unknown(values["event"], rest, when)


def _build(kind: type, values: dict[str, Any]) -> Event:
    known = {}
    for item in _FIELDS[kind]:
        if item.name in values:
            known[item.name] = _read(values[item.name], str(item.type))
    event: Event = kind(**known)
    return event


def _read(value: Any, declared: str) -> Any:
    if value is None:
        if "None" in declared:
            return None
        raise ValueError("a value is missing")
    if declared.startswith("float"):
        if isinstance(value, str):
            return _NON_FINITE[value] if value in _NON_FINITE else float("not a number")
        if isinstance(value, bool):
            raise ValueError("a flag is no number")
        return float(value)
    if declared.startswith("int"):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("not a whole number")
        return value
    if declared.startswith("bool"):
        if not isinstance(value, bool):
            raise ValueError("not a flag")
        return value
    if declared.startswith("Mapping"):
        return {str(key): _read(item, "float") for key, item in dict(value).items()}
    if not isinstance(value, str):
        raise ValueError("not text")
    return value


def _writable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return {key: _writable(item) for key, item in value.items()}
    return value
