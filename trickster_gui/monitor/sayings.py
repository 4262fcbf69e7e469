"""What the monitor says of a run: the figures, the words beside its title, the line below."""

from __future__ import annotations

import time
from dataclasses import dataclass

from engine import words
from trickster_gui.bridge import RunState, Watched
from trickster_gui.controls.progress_line import ProgressLine
from trickster_gui.monitor import predictions, readings
from trickster_gui.monitor.facts import Facts
from trickster_gui.monitor.history import History
from trickster_gui.monitor.verdicts import broken_numbers, rising_validation

FACTS = {
    "step": ("Step", 12),
    "elapsed": ("Trained for", 9),
    "left": ("Time left", 9),
    "memory": ("Memory · predicted", 18),
    "speed": ("Tokens per second · predicted", 17),
    "tokens": ("Tokens seen", 9),
    "epoch": ("Epoch", 6),
}
_PROGRESS_ROLES: dict[RunState, str] = {
    "finished": "success", "failed": "danger", "interrupted": "danger", "paused": "warning",
}  # fmt: skip
_ENDINGS = {
    "completed": "",
    "stopped": " · stopped by you",
    "early-stopping": " · stopped early: no better validation",
}


@dataclass(frozen=True)
class Said:
    """What the line below the figures says, in the colour ``role`` of the theme."""

    role: str
    text: str


def show_facts(facts: Facts, progress: ProgressLine, history: History, state: RunState) -> None:
    """Fill in the row of figures, and how far the run has come."""
    show, total, step = facts.show_fact, history.total_steps, history.step
    known = bool(history.segments)
    show(
        "step", f"{step:,}" if known else readings.UNKNOWN, "" if total is None else f"/ {total:,}"
    )
    progress.show_fraction(step / total if total else 0.0, _PROGRESS_ROLES.get(state, "accent"))
    now = time.time() if state == "running" else history.last_time()
    show("elapsed", readings.duration(history.elapsed_s(now) if known else None))
    live = state in ("running", "paused")
    show("left", readings.duration(history.remaining_s() if live else None))
    show("memory", *readings.peak(predictions.peak_memory(history)))
    tokens = 0 if history.started is None else history.started.tokens_per_step
    show("speed", *readings.speeds(predictions.step_time(history), tokens))
    last, epoch = history.last_step, history.epoch()
    show("tokens", readings.UNKNOWN if last is None else words.short_count(last.tokens))
    show("epoch", readings.UNKNOWN if epoch is None else f"{epoch:.2f}")


def detail(watched: Watched | None, history: History, state: RunState) -> str:
    """Whose run it is, where it trains, and how it ended; empty where no run is shown."""
    if state == "none" or watched is None:
        return ""
    started, finished = history.started, history.finished
    place = f" on {started.device}, {started.precision}" if started is not None else ""
    ending = _ENDINGS[finished.reason] if state == "finished" and finished is not None else ""
    return f"{watched.title}{place}{ending}"


def most_important(
    history: History, state: RunState, problem: Said | None, refusal: str, estimate: str
) -> Said:
    """The most important thing to say of a run that is read.

    ``problem``: what the bridge told of; ``refusal``: why the design cannot be trained, or empty;
    ``estimate``: what a run of it is predicted to take, or empty.
    """
    if history.failed is not None and state == "failed":
        return Said("danger", readings.sentences(history.failed.message, history.failed.advice))
    if problem is not None:
        return problem
    verdict = broken_numbers(history) or rising_validation(history)
    if verdict:
        return Said("warning", verdict)
    live = state in ("preparing", "running", "paused")
    if not live and refusal:
        return Said("warning", refusal)
    if history.warnings and live:
        return Said("warning", history.warnings[-1].message)
    beyond = predictions.beyond_range(history, live)
    if live:
        return Said("muted", beyond or "Closing this window does not stop the training.")
    foretold = f"Predicted for this design: {estimate}" if estimate else ""
    return Said("muted", " ".join(text for text in (beyond, foretold) if text))
