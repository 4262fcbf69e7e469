"""What a run has said so far, as numbers that can be drawn and words that can be read. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.events import (
    Event,
    Failed,
    Finished,
    Paused,
    Preparing,
    Resumed,
    Sample,
    Saved,
    Started,
    Step,
    Validation,
    Warned,
)
from trickster_gui.monitor.columns import Array, Columns
from trickster_gui.monitor.samples import Samples

STEP_COLUMNS = (
    "step", "tokens", "seconds", "loss", "lr", "grad_norm", "step_s", "tokens_per_s",
    "memory_bytes", "time",
)  # fmt: skip
VALIDATION_COLUMNS = ("step", "tokens", "seconds", "loss", "measured_tokens", "time")
# Whole numbers beyond this are no longer exact in float64; no run gets there.
_LARGEST = 2**53
# A record that jumps back more often than this is damaged; the rest of it is not drawn.
MAX_SEGMENTS = 1_000
# Room made for the points of a segment in advance, so that no append has to copy a long run.
_RESERVED_ROWS = 2_000_000
_RATE_POINTS = 200
_RATE_MINIMUM = 3


@dataclass(frozen=True)
class Best:
    """The lowest validation loss so far that a resume has not thrown away."""

    step: int
    loss: float


class Segment:
    """One stretch of a run: from its start, or from the checkpoint that it was resumed from.

    Steps are strictly ascending. ``live_until`` is the last step that later segments build on;
    what comes after it was abandoned.
    """

    def __init__(self, index: int, start_step: int) -> None:
        self.index = index
        self.start_step = start_step
        self.live_until = _LARGEST
        self.steps = Columns(STEP_COLUMNS)
        self.validations = Columns(VALIDATION_COLUMNS)

    def live_steps(self) -> int:
        """Number of leading rows of ``steps`` that still count."""
        return _count_until(self.steps.column("step"), self.live_until)

    def live_validations(self) -> int:
        """Number of leading rows of ``validations`` that still count."""
        return _count_until(self.validations.column("step"), self.live_until)


def _count_until(steps: Array, last: int) -> int:
    return int(np.searchsorted(steps, last, "right"))


class _Clock:
    """Seconds of work: without pauses and without the time between two sessions."""

    def __init__(self) -> None:
        self._carried = 0.0
        self._base: float | None = None
        self._paused_at: float | None = None

    def start(self, time: float, carried: float) -> None:
        self._carried, self._base, self._paused_at = carried, time, None

    def pause(self, time: float) -> None:
        if self._paused_at is None:
            self._paused_at = time

    def resume(self, time: float) -> None:
        if self._paused_at is not None and self._base is not None:
            self._base += max(time - self._paused_at, 0.0)
        self._paused_at = None

    def seconds(self, times: Array) -> Array:
        if self._base is None:
            self._base = float(times[0]) if len(times) else 0.0
        return self._carried + np.maximum(times - self._base, 0.0)

    def at(self, time: float) -> float:
        if self._base is None:
            return self._carried
        return float(self.seconds(np.array([min(time, self._paused_at or time)]))[0])


class History:
    """Accumulates the events of one run, in any batches, without ever looking back at old ones."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.samples = Samples()
        self.started: Started | None = None
        self.preparing: Preparing | None = None
        self.finished: Finished | None = None
        self.failed: Failed | None = None
        self.last_saved: Saved | None = None
        self.last_step: Step | None = None
        self.warnings: list[Warned] = []
        self.best: Best | None = None
        self.ignored = 0
        self.revision = 0
        self._clock = _Clock()
        self._rows: list[tuple[float, ...]] = []

    def add(self, events: Sequence[Event]) -> None:
        """Take in the next events, in the order in which they were written."""
        rows = self._rows
        for event in events:
            if type(event) is Step:
                memory = event.memory_bytes
                rows.append((
                    event.step, event.tokens, 0.0, event.loss, event.lr, event.grad_norm,
                    event.step_s, event.tokens_per_s, np.nan if memory is None else memory,
                    event.time,
                ))  # fmt: skip
                self.last_step = event
            else:
                self._flush_steps()
                self._take(event)
        self._flush_steps()
        if events:
            self.revision += 1

    def _take(self, event: Event) -> None:
        if isinstance(event, Started):
            self._begin(event)
        elif isinstance(event, Validation):
            self._validate(event)
        elif isinstance(event, Sample):
            self.samples.add(event)
        elif isinstance(event, Saved):
            self.last_saved = event
        elif isinstance(event, Paused):
            self._clock.pause(event.time)
        elif isinstance(event, Resumed):
            self._clock.resume(event.time)
        elif isinstance(event, Warned):
            self.warnings.append(event)
            del self.warnings[:-1_000]
        elif isinstance(event, Preparing):
            self.preparing, self.finished, self.failed = event, None, None
        elif isinstance(event, Finished):
            self.finished = event
        elif isinstance(event, Failed):
            self.failed = event

    def _begin(self, event: Started) -> None:
        self.started, self.finished, self.failed, self.preparing = event, None, None, None
        carried = self._seconds_at(event.step)
        if self._open_segment(event.step):
            expected = min(max(event.total_steps - event.step, 0), _RESERVED_ROWS)
            self.segments[-1].steps.reserve(expected)
            self._clock.start(event.time, carried)
            self.samples.rewind(event.step)

    def _open_segment(self, start_step: int) -> bool:
        """Begin a stretch after ``start_step``; False when there are too many to make sense."""
        if len(self.segments) >= MAX_SEGMENTS:
            return False
        for segment in self.segments:
            segment.live_until = min(segment.live_until, start_step)
        self.segments.append(Segment(len(self.segments), start_step))
        if self.best is not None and self.best.step > start_step:
            self._find_best()  # the best was on the stretch that is abandoned now
        return True

    def _seconds_at(self, step: int) -> float:
        """Seconds of work that had gone into the run at ``step``, along the line that counts."""
        for segment in reversed(self.segments):
            count = _count_until(segment.steps.column("step"), min(step, segment.live_until))
            if count:
                return float(segment.steps.column("seconds")[count - 1])
        return 0.0

    def _flush_steps(self) -> None:
        if not self._rows:
            return
        block = self._checked(self._rows)
        self._rows.clear()
        if not len(block):
            return
        if not self.segments:
            self._open_segment(int(block[0, 0]) - 1)
        block[:, 2] = self._clock.seconds(block[:, -1])
        steps = self.segments[-1].steps.column("step")
        before = steps[-1] if len(steps) else float(self.segments[-1].start_step)
        backwards = np.flatnonzero(np.diff(block[:, 0], prepend=before) <= 0.0)
        for piece, part in enumerate(np.split(block, backwards)):
            if piece and not self._open_segment(int(part[0, 0]) - 1):
                self.ignored += len(part)
            elif len(part):
                self._append(self.segments[-1].steps, part)

    def _checked(self, rows: list[tuple[float, ...]]) -> Array:
        """Rows as an array (n, columns), without those whose step is out of all reason."""
        try:
            block = np.array(rows, dtype=np.float64)
        except OverflowError:
            sane = [
                row for row in rows if all(abs(value) < 1e300 for value in row if value == value)
            ]
            self.ignored += len(rows) - len(sane)
            block = np.array(sane, dtype=np.float64).reshape(-1, len(STEP_COLUMNS))
        keep = (block[:, 0] >= 0) & (block[:, 0] <= _LARGEST) & np.isfinite(block[:, -1])
        self.ignored += int(len(block) - np.count_nonzero(keep))
        return block if keep.all() else block[keep]

    def _append(self, columns: Columns, block: Array) -> None:
        """Append with ``seconds`` and ``tokens`` never falling, which a drawn x axis needs."""
        for name in ("tokens", "seconds"):
            at = columns.names.index(name)
            known = columns.column(name)
            if len(known):
                block[0, at] = max(block[0, at], known[-1])
            np.maximum.accumulate(block[:, at], out=block[:, at])
        columns.extend(block)

    def _validate(self, event: Validation) -> None:
        if not (0 <= event.step <= _LARGEST and 0 <= event.tokens <= _LARGEST):
            self.ignored += 1
            return
        if not self.segments:
            self._open_segment(event.step)
        columns = self.segments[-1].validations
        known = columns.column("step")
        earliest = known[-1] if len(known) else self.segments[-1].start_step
        if event.step < earliest:
            self.ignored += 1
            return
        seconds = self._clock.at(event.time)
        measured = float(min(max(event.measured_tokens, 0), _LARGEST))
        row = (event.step, event.tokens, seconds, event.loss, measured, event.time)
        self._append(columns, np.array([row], dtype=np.float64))
        if event.loss == event.loss and (self.best is None or event.loss < self.best.loss):
            self.best = Best(event.step, event.loss)

    def _find_best(self) -> None:
        steps, losses = self.validations("step"), self.validations("loss")
        if len(losses) and np.isfinite(losses).any():
            at = int(np.nanargmin(losses))
            self.best = Best(int(steps[at]), float(losses[at]))
        else:
            self.best = None

    def validations(self, name: str) -> Array:
        """A column of all validations that count, in the order of their steps."""
        parts = [
            segment.validations.column(name)[: segment.live_validations()]
            for segment in self.segments
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def step_count(self) -> int:
        """Number of step events kept, those of abandoned stretches included."""
        return sum(len(segment.steps) for segment in self.segments)

    @property
    def step(self) -> int:
        """The step that the run is at."""
        if not self.segments:
            return 0
        steps = self.segments[-1].steps.column("step")
        return int(steps[-1]) if len(steps) else self.segments[-1].start_step

    @property
    def total_steps(self) -> int | None:
        """The step at which the run will end, once it has started."""
        return None if self.started is None else self.started.total_steps

    def epoch(self) -> float | None:
        """How many times the training text has been gone through, on average."""
        if self.started is None or self.last_step is None or self.started.train_tokens <= 0:
            return None
        return self.last_step.tokens / self.started.train_tokens

    def memory_bytes(self) -> int | None:
        """Measured peak memory, where the device can tell."""
        return None if self.last_step is None else self.last_step.memory_bytes

    def seconds_per_step(self) -> float | None:
        """Seconds a step takes, validations and samples included; None until it is known.

        Measured over the last 200 points of this session only: what happened before a resume,
        on whatever machine, says nothing about now.
        """
        if not self.segments:
            return None
        columns = self.segments[-1].steps
        steps = columns.column("step")[-_RATE_POINTS:]
        if len(steps) < _RATE_MINIMUM:
            return None
        seconds = columns.column("seconds")[-_RATE_POINTS:]
        duration = float(seconds[-1] - seconds[0])
        return duration / float(steps[-1] - steps[0]) if duration > 0.0 else None

    def tokens_per_s(self) -> float | None:
        """Median speed of this session; None before its first step.

        Of its last 50 points while it goes on, of all once the run has finished.
        """
        if not self.segments or not len(self.segments[-1].steps):
            return None
        speeds = self.segments[-1].steps.column("tokens_per_s")
        return float(np.median(speeds if self.finished is not None else speeds[-50:]))

    def remaining_s(self) -> float | None:
        """Seconds until the last step at this session's speed; None until that is known."""
        rate = self.seconds_per_step()
        if rate is None or self.total_steps is None:
            return None
        return max(self.total_steps - self.step, 0) * rate

    def elapsed_s(self, now: float) -> float:
        """Seconds of work up to ``now`` (seconds since the epoch), pauses left out."""
        return self._clock.at(now)

    def last_time(self) -> float:
        """When the last step was written, seconds since the epoch; 0 before the first."""
        return 0.0 if self.last_step is None else self.last_step.time
