"""A run in the foreground: what ``train`` and ``resume`` share."""

from __future__ import annotations

import json
import sys
from functools import partial

from engine.devices.preflight import Preflight
from engine.events import Event, Failed, Finished, Started, Step, Validation
from engine.run_directory import RunDirectory
from engine.training.recorder import Listener

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
    steps: int | None = None, device: str | None = None, precision: str | None = None,
    card_backend: str | None = None, card: Preflight | None = None, as_json: bool = False,
) -> tuple[int, Failed | None]:  # fmt: skip
    """Train, showing progress; Ctrl-C stops with a checkpoint.

    Torch trains in this process; ``card``, the checklist of a card that is ready, in a worker.
    ``command`` is what was typed, in whose name an error is printed.
    Returns the exit status, and the failure where the run failed before its first step.
    """
    from engine.cli.progress import ProgressPrinter

    notes, printer = _Notes(), None if as_json else ProgressPrinter(sys.stdout)

    def listener(event: Event) -> None:
        notes(event)
        if printer is not None:
            printer(event)

    train = _with_torch if card is None else partial(_on_card, card)
    end = train(
        directory, listener,
        resume_step=resume_step, steps=steps, device=device, precision=precision,
        card_backend=card_backend,
    )  # fmt: skip
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


def _with_torch(
    directory: RunDirectory, listener: Listener, *, resume_step: int | None, steps: int | None,
    device: str | None, precision: str | None, card_backend: str | None,
) -> Finished | Failed:  # fmt: skip
    from engine.training.control import obeying_signals
    from engine.training.session import make_control, open_run, run_session

    lock = directory.lock()
    try:
        resumption = open_run(
            directory, resume_step=resume_step, steps=steps, device=device, precision=precision,
            card_backend=card_backend,
        )  # fmt: skip
        control = make_control(directory, None)
        with obeying_signals(control):
            return run_session(directory, resumption, control, listener)
    finally:
        lock.release()


def _on_card(
    card: Preflight, directory: RunDirectory, listener: Listener, *, resume_step: int | None,
    steps: int | None, device: str | None, precision: str | None, card_backend: str | None,
) -> Finished | Failed:  # fmt: skip
    from engine.cli.follow import follow
    from engine.launch import launch

    events = directory.events_file
    offset = events.stat().st_size if events.exists() else 0
    process = launch(
        directory, resume=True, resume_step=resume_step, steps=steps, device=device,
        precision=precision, card_backend=card_backend, ready=card,
    )  # fmt: skip
    return follow(directory, process, offset, listener)


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
