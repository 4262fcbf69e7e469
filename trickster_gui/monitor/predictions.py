"""What a run was predicted to take beside what it took: numbers and words. No Qt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine import words
from engine.events import Started
from trickster_gui.monitor.history import History

# Steps of a live session before its speed is held against the prediction: the first are slower.
_SETTLED_STEPS = 20


@dataclass(frozen=True)
class Compared:
    """A quantity as it was predicted and as it was measured; None where one is not known.

    ``low`` and ``high`` are the ends of the range that was predicted, where there was one.
    """

    measured: float | None = None
    predicted: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def ratio(self) -> float | None:
        """Measured, divided by predicted."""
        if self.measured is None or self.predicted is None:
            return None
        return self.measured / self.predicted

    @property
    def outside(self) -> Literal["", "above", "below"]:
        """Whether what was measured lies outside the predicted range, and where."""
        if self.measured is None or self.low is None or self.high is None:
            return ""
        return "above" if self.measured > self.high else "below" if self.measured < self.low else ""


def peak_memory(history: History) -> Compared:
    """Peak memory in bytes: of the finished run as its record says, else of its last step."""
    predicted = _foretold(history.started)
    return Compared(
        measured=_ended_with(history, "peak_bytes") or _sane(history.memory_bytes()),
        predicted=_sane(predicted.get("peak_bytes")),
    )


def step_time(history: History) -> Compared:
    """Seconds of one update: of the finished run as its record says, else as it usually is now."""
    predicted = _foretold(history.started)
    return Compared(
        measured=_ended_with(history, "step_s") or _usual_step_s(history),
        predicted=_sane(predicted.get("step_s")),
        low=_sane(predicted.get("step_s_low")),
        high=_sane(predicted.get("step_s_high")),
    )


def settled(history: History) -> bool:
    """Whether this session has taken enough steps to tell its speed."""
    if history.finished is not None:
        return True
    return bool(history.segments) and len(history.segments[-1].steps) >= _SETTLED_STEPS


def beyond_range(history: History, live: bool) -> str:
    """A sentence where the steps of a run take less or longer than the predicted range.

    Empty where they do not, or where no range was predicted.

    It says by how much and no reason: the record knows none.
    """
    step = step_time(history)
    if not step.outside or not settled(history) or step.ratio is None:
        return ""
    assert step.measured is not None
    assert step.low is not None
    assert step.high is not None
    verb = "takes" if live else "took"
    percent = words.signed_percent(step.ratio).lstrip("+-")
    how = f"{percent} longer" if step.outside == "above" else f"{percent} less"
    return (
        f"A step {verb} {words.duration(step.measured)}, {how} than predicted and outside the "
        f"predicted range of {words.duration(step.low)} to {words.duration(step.high)}."
    )


def _usual_step_s(history: History) -> float | None:
    speed, started = _sane(history.tokens_per_s()), history.started
    return None if speed is None or started is None else started.tokens_per_step / speed


def _ended_with(history: History, name: str) -> float | None:
    """What the record of a finished run says was measured; older records say nothing."""
    return None if history.finished is None else _sane(history.finished.measured.get(name))


def _foretold(started: Started | None) -> Mapping[str, float]:
    return {} if started is None else started.predicted


def _sane(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value > 0 else None
