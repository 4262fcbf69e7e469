"""What the chart draws, made from the history: curves of a few thousand points. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trickster_gui.monitor.columns import Array
from trickster_gui.monitor.decimation import Envelope, index_near, visible
from trickster_gui.monitor.history import History, Segment
from trickster_gui.monitor.smoothing import Memory, MovingAverage

XKind = Literal["step", "tokens", "seconds"]
Curve = tuple[Array, Array]
_NOTHING: Array = np.empty(0)


@dataclass(frozen=True)
class Reading:
    """All values at one logged step, and the last validation up to it."""

    x: float
    step: int
    tokens: float
    seconds: float
    loss: float
    smoothed: float
    lr: float
    grad_norm: float
    tokens_per_s: float
    validation: float | None
    validation_step: int | None


class Traces:
    """Curves of one history. Keeps averages and envelopes, so that only new points cost."""

    def __init__(self, history: History, beta: float) -> None:
        self.history = history
        self._beta = beta
        self._averages: dict[int, MovingAverage] = {}
        self._envelopes: dict[tuple[int, str], Envelope] = {}

    @property
    def beta(self) -> float:
        """Weight of the past in the moving average, 0 (none) to below 1."""
        return self._beta

    def smooth(self, beta: float) -> None:
        """Change the weight of the past."""
        if beta != self._beta:
            self._beta = beta
            self._averages.clear()
            self._envelopes = {k: v for k, v in self._envelopes.items() if k[1] != "smoothed"}

    def _smoothed(self, segment: Segment) -> Array:
        average = self._averages.get(segment.index)
        if average is None:
            average = MovingAverage(self._beta, self._memory_before(segment))
            self._averages[segment.index] = average
        return average.update(segment.steps.column("loss"))

    def _memory_before(self, segment: Segment) -> Memory:
        """State of the average at the point that ``segment`` goes on from."""
        for earlier in reversed(self.history.segments[: segment.index]):
            until = min(earlier.live_until, segment.start_step)
            count = int(np.searchsorted(earlier.steps.column("step"), until, "right"))
            if count:
                self._smoothed(earlier)
                return self._averages[earlier.index].memory(count)
        return Memory()

    def line(self, name: str, kind: XKind, edges: Array) -> Curve:
        """The line that counts of a column (or of "smoothed"): a NaN between its stretches."""
        return self._join(name, kind, edges, lambda segment: (0, segment.live_steps()))

    def abandoned(self, kind: XKind, edges: Array) -> Curve:
        """Training loss of what a resume from an earlier step has thrown away."""

        def part(segment: Segment) -> tuple[int, int]:
            live = segment.live_steps()
            return (max(live - 1, 0), len(segment.steps)) if live < len(segment.steps) else (0, 0)

        return self._join("loss", kind, edges, part)

    def _join(
        self, name: str, kind: XKind, edges: Array, part: Callable[[Segment], tuple[int, int]]
    ) -> Curve:
        xs: list[Array] = []
        ys: list[Array] = []
        for segment in self.history.segments:
            first, last = part(segment)
            if first == last:
                continue
            y = self._smoothed(segment) if name == "smoothed" else segment.steps.column(name)
            envelope = self._envelopes.setdefault((segment.index, name), Envelope())
            x = segment.steps.column(kind)
            if first == 0:
                x, y = visible(x[:last], y[:last], edges, envelope)
            else:
                x, y = visible(x[first:last], y[first:last], edges)
            if xs and len(x):
                xs.append(x[:1])
                ys.append(np.array([np.nan]))
            xs.append(x)
            ys.append(y)
        if not xs:
            return _NOTHING, _NOTHING
        return np.concatenate(xs), np.concatenate(ys)

    def validation(self, kind: XKind) -> Curve:
        """All validations that count."""
        return self.history.validations(kind), self.history.validations("loss")

    def last_x(self, kind: XKind) -> float:
        """How far the run has got, abandoned stretches included."""
        ends = [
            float(columns.column(kind)[-1])
            for segment in self.history.segments
            for columns in (segment.steps, segment.validations)
            if len(columns)
        ]
        return max(ends, default=0.0)

    def total_x(self, kind: XKind) -> float | None:
        """Where the run will end, where that is known."""
        started, last = self.history.started, self.history.last_step
        if started is None:
            return None
        if kind == "step":
            return float(started.total_steps)
        if kind == "tokens":
            before = 0.0 if last is None else last.tokens - last.step * started.tokens_per_step
            return before + float(started.total_steps * started.tokens_per_step)
        return None

    def best_x(self, kind: XKind) -> float | None:
        """Where the best validation is."""
        if self.history.best is None:
            return None
        at = np.flatnonzero(self.history.validations("step") == self.history.best.step)
        return float(self.history.validations(kind)[at[0]]) if len(at) else None

    def at(self, kind: XKind, x: float) -> Reading | None:
        """The values at the logged step that is nearest to ``x``; None before the first."""
        found: tuple[float, Segment, int] | None = None
        for segment in self.history.segments:
            count = segment.live_steps()
            if count:
                known = segment.steps.column(kind)[:count]
                index = index_near(known, x)
                distance = abs(float(known[index]) - x)
                if found is None or distance <= found[0]:
                    found = (distance, segment, index)
        return None if found is None else self._reading(kind, found[1], found[2])

    def _reading(self, kind: XKind, segment: Segment, index: int) -> Reading:
        def value(name: str) -> float:
            return float(segment.steps.column(name)[index])

        steps = self.history.validations("step")
        before = int(np.searchsorted(steps, value("step"), "right")) - 1
        known = before >= 0
        return Reading(
            x=value(kind),
            step=int(value("step")),
            tokens=value("tokens"),
            seconds=value("seconds"),
            loss=value("loss"),
            smoothed=float(self._smoothed(segment)[index]),
            lr=value("lr"),
            grad_norm=value("grad_norm"),
            tokens_per_s=value("tokens_per_s"),
            validation=float(self.history.validations("loss")[before]) if known else None,
            validation_step=int(steps[before]) if known else None,
        )

    def loss_extent(self, kind: XKind, edges: Array) -> tuple[float, float] | None:
        """Lowest and highest loss that the chart should show by itself: the smoothed curve, the
        validations and the floors. A single spike of the raw curve does not flatten the rest."""
        parts = [self.line("smoothed", kind, edges)[1], self.history.validations("loss")]
        if self.history.started is not None:
            floors = [v for v in self.history.started.floors.values() if math.isfinite(v)]
            parts.append(np.array(floors, dtype=np.float64))
        raw = self.line("loss", kind, edges)[1]
        raw = raw[np.isfinite(raw)]
        if len(raw):
            parts.append(np.quantile(raw, [0.01]))
        values = np.concatenate(parts)
        values = values[np.isfinite(values)]
        return (float(values.min()), float(values.max())) if len(values) else None
