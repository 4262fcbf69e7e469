"""EnvironmentMaker: makes the Python environment of cards in the background, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from PySide6.QtCore import QObject, Signal

from engine.devices import interpreter
from engine.devices.card_environment import make_environment, python_of
from engine.devices.environment_error import CancelledError
from engine.devices.environment_progress import DOWNLOAD_BYTES, SIZE_BYTES, Progress
from engine.devices.preflight import Preflight
from trickster_gui.bridge.background import OnDone, OnError, OnProgress, Task

# The checks that an environment of ours would mend.
_MENDED = ("python", "packages", "ttnn", "numpy")


class RunReporting(Protocol):
    """RunBridge.run_reporting."""

    def __call__(
        self, call: Callable[[OnProgress], object], on_progress: OnProgress, on_done: OnDone,
        on_error: OnError, /,
    ) -> Task: ...  # fmt: skip


@dataclass(frozen=True)
class MakingState:
    """Whether the environment is being made, how far it is, and why the last attempt failed."""

    step: Literal["idle", "making", "cancelling"] = "idle"
    progress: Progress | None = None
    error: str = ""


class EnvironmentMaker(QObject):
    """``changed`` tells of each step; ``made`` carries the card for which it was made."""

    changed = Signal()
    made = Signal(str)

    def __init__(self, run_reporting: RunReporting, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run = run_reporting
        self._stopping = threading.Event()
        self._closed = False
        self.state = MakingState()

    def make(self, device: str) -> None:
        """Make or mend the environment, with which ttnn trains on ``device`` from now on; unless
        one is being made."""
        if self.state.step != "idle" or self._closed:
            return
        stopping = self._stopping = threading.Event()
        self._set(MakingState("making"))
        self._run(
            lambda report: _made(device, report, stopping.is_set),
            self._progressed,
            lambda path: self._done(device, path),
            lambda reason: self._set(MakingState(error=reason)),
        )

    def cancel(self) -> None:
        """End it as soon as possible; what was begun is undone."""
        self._stopping.set()
        if self.state.step == "making":
            self._set(replace(self.state, step="cancelling"))

    def stop(self) -> None:
        """As ``cancel``, and nothing is begun any more."""
        self._closed = True
        self._stopping.set()

    def forget_error(self) -> None:
        """The person has seen it, or it is out of date."""
        if self.state.error:
            self._set(replace(self.state, error=""))

    def _progressed(self, progress: Progress) -> None:
        if self.state.step == "making":
            self._set(replace(self.state, progress=progress))

    def _done(self, device: str, path: Path | None) -> None:
        self._set(MakingState())
        if path is not None:
            self.made.emit(device)

    def _set(self, state: MakingState) -> None:
        self.state = state
        self.changed.emit()


def _made(device: str, report: OnProgress, stop: Callable[[], bool]) -> Path | None:
    """The interpreter, or None where it was cancelled."""
    try:
        return make_environment(device=device, on_progress=report, stop=stop)
    except CancelledError:
        return None


def could_help(report: Preflight | None) -> bool:
    """Whether an environment of ours is what this card lacks."""
    return report is not None and any(check.name in _MENDED for check in report.blocking)


def words(report: Preflight | None) -> str:
    """What the button that makes it says: whether there is something of ours to mend."""
    ours = python_of(interpreter.own_environment())
    is_ours = report is not None and (report.interpreter == ours or ours.exists())
    return "Mend it" if is_ours else "Make it"


def promise() -> str:
    """What making it means: how much is fetched, how much is kept and where."""
    return (
        f"Downloads about {DOWNLOAD_BYTES / 1e6:.0f} MB and keeps {SIZE_BYTES / 1e6:.0f} MB in "
        f"{interpreter.own_environment()}; no other Python is changed."
    )
