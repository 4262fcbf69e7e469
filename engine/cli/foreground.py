"""A run in the foreground: what ``train`` and ``resume`` share."""

from __future__ import annotations

import json
import sys

from engine.events import Event, Failed, Finished, Started, Step, Validation
from engine.run_directory import RunDirectory

FAILED = 1


class _Notes:
    """What the final JSON document says of the events that went by."""

    def __init__(self) -> None:
        self.started: Started | None = None
        self.step: Step | None = None
        self.validation: Validation | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.started = event
        elif isinstance(event, Step):
            self.step = event
        elif isinstance(event, Validation):
            self.validation = event


def run_here(
    directory: RunDirectory, command: str, *, resume_step: int | None = None,
    steps: int | None = None, device: str | None = None, as_json: bool = False,
) -> tuple[int, Failed | None]:  # fmt: skip
    """Train in this process, showing progress; Ctrl-C stops with a checkpoint.

    ``command`` is what was typed, in whose name an error is printed.
    Returns the exit status, and the failure where the run failed before its first step.
    """
    from engine.cli.progress import ProgressPrinter
    from engine.training.control import obeying_signals
    from engine.training.session import make_control, open_run, run_session

    notes, printer = _Notes(), None if as_json else ProgressPrinter(sys.stdout)

    def listener(event: Event) -> None:
        notes(event)
        if printer is not None:
            printer(event)

    lock = directory.lock()
    try:
        resumption = open_run(directory, resume_step=resume_step, steps=steps, device=device)
        control = make_control(directory, None)
        with obeying_signals(control):
            end = run_session(directory, resumption, control, listener)
    finally:
        lock.release()
    if isinstance(end, Failed) and notes.started is None:
        return 2, end
    if as_json:
        print(json.dumps(_document(directory, notes, end), allow_nan=False))
    elif isinstance(end, Finished) and end.reason == "stopped":
        print(f"go on with: python -m engine resume {directory.path}")
    if isinstance(end, Failed):
        print(f"engine {command}: {end.message}. {end.advice}".rstrip(". "), file=sys.stderr)
        return FAILED, None
    return 0, None


def _document(directory: RunDirectory, notes: _Notes, end: Finished | Failed) -> dict[str, object]:
    step, validation, started = notes.step, notes.validation, notes.started
    document: dict[str, object] = {
        "run": str(directory.path),
        "result": end.reason if isinstance(end, Finished) else "failed",
        "step": end.step,
        "params": started.params if started else None,
        "tokens": step.tokens if step else 0,
        "loss": step.loss if step else None,
        "tokens_per_s": step.tokens_per_s if step else None,
        "memory_bytes": step.memory_bytes if step else None,
        "predicted": dict(started.predicted) if started else {},
        "measured": dict(end.measured) if isinstance(end, Finished) else {},
        "validation_loss": validation.loss if validation else None,
        "floors": dict(started.floors) if started else {},
        "checkpoints": directory.checkpoint_steps(),
    }
    if isinstance(end, Finished):
        document["best_validation_loss"] = end.best_validation_loss
        document["best_step"] = end.best_step
    else:
        document["error"] = end.message
        document["advice"] = end.advice
    return document
