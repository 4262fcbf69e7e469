"""How a run in the foreground is shown: one line that is rewritten, or a line for each log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TextIO

from engine.events import (
    Event,
    Failed,
    Finished,
    Preparing,
    Sample,
    Saved,
    Started,
    Step,
    Validation,
    Warned,
)
from engine.words import binary_bytes, duration

_REDRAW_S = 0.1
_CLEAR_LINE = "\r\x1b[K"


class ProgressPrinter:
    """Listens to a run's events and prints them for a person."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._line = False
        self._drawn = 0.0
        self._total = 0
        self._first: tuple[int, float] | None = None
        self._validation = ""
        self._predicted: Mapping[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Step):
            self._step(event)
        elif isinstance(event, Preparing):
            self._preparing(event)
        else:
            self._print(event)

    def _step(self, event: Step) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = (event.step, now)
        last = event.step >= self._total
        if self._terminal and not last and now - self._drawn < _REDRAW_S:
            return
        text = (
            f"step {event.step:,}/{self._total:,}  loss {event.loss:.4f}{self._validation}  "
            f"{event.tokens_per_s:,.0f} tokens/s{self._remaining(event.step, now)}"
        )
        self._show(text, now)

    def _remaining(self, step: int, now: float) -> str:
        """By the rate of this session alone; nothing until there is one."""
        assert self._first is not None
        first_step, since = self._first
        if step - first_step < 5:
            return ""
        left_s = (now - since) / (step - first_step) * (self._total - step)
        return f"  {duration(left_s)} left"

    def _preparing(self, event: Preparing) -> None:
        share = "" if event.fraction is None else f" {event.fraction:.0%}"
        now = time.monotonic()
        if self._terminal:
            self._show(f"{event.message}{share}", now)
        elif event.fraction is None:
            self._out(event.message)

    def _show(self, text: str, now: float) -> None:
        if self._terminal:
            self._stream.write(f"{_CLEAR_LINE}{text}")
            self._stream.flush()
            self._line, self._drawn = True, now
        else:
            self._out(text)

    def _print(self, event: Event) -> None:
        if isinstance(event, Started):
            self._total, self._predicted = event.total_steps, event.predicted
            floors = ", ".join(f"{name} {nats:.3f}" for name, nats in event.floors.items())
            self._out(
                f"{event.params:,} parameters on {event.device} ({event.precision}), "
                f"{event.train_tokens:,} tokens to learn from, {event.tokens_per_step:,} a step"
            )
            self._out(f"floors in nats a token: {floors}")
        elif isinstance(event, Validation):
            self._validation = f"  validation {event.loss:.4f}"
            mark = " (best)" if event.best else ""
            self._out(f"step {event.step:,}: validation loss {event.loss:.4f}{mark}")
        elif isinstance(event, Sample):
            self._out(f"step {event.step:,}: {event.prompt}|{event.text}")
        elif isinstance(event, Saved):
            self._out(f"step {event.step:,}: saved {event.path}")
        elif isinstance(event, Warned):
            self._out(f"warning: {event.message}")
        elif isinstance(event, Finished):
            best = ""
            if event.best_validation_loss is not None:
                best = f", best validation loss {event.best_validation_loss:.4f}"
                best += f" at step {event.best_step:,}"
            self._out(f"{event.reason} at step {event.step:,}{best}")
            if compared := foretold_and_measured(self._predicted, event.measured):
                self._out(compared)
        elif isinstance(event, Failed):
            self.end_line()

    def _out(self, text: str) -> None:
        self.end_line()
        print(text, file=self._stream, flush=True)

    def end_line(self) -> None:
        """Leave the line that is being rewritten."""
        if self._line:
            self._stream.write("\n")
            self._line = False


def foretold_and_measured(predicted: Mapping[str, float], measured: Mapping[str, float]) -> str:
    """What a run took beside what was foretold, in one line; empty where nothing was measured."""
    parts = []
    for label, key, words in (
        ("memory", "peak_bytes", lambda value: binary_bytes(round(value))),
        ("step", "step_s", duration),
    ):
        if key not in measured:
            continue
        taken = f"measured {words(measured[key])}"
        if predicted.get(key):
            off = 100 * (measured[key] / predicted[key] - 1)
            digits = 1 if key == "peak_bytes" else 0
            taken = f"predicted {words(predicted[key])}, {taken} ({off:+.{digits}f} %)"
        parts.append(f"{label}: {taken}")
    return "; ".join(parts)
