"""CardReadiness: checks in the background whether cards can train, and knows what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QObject, Signal

from engine.devices.interpreter import choose
from engine.devices.preflight import Preflight, preflight
from trickster_gui.bridge.background import OnDone, OnError, Task


class RunInBackground(Protocol):
    """RunBridge.run_in_background."""

    def __call__(
        self, call: Callable[[], object], on_done: OnDone, on_error: OnError, /
    ) -> Task: ...


@dataclass(frozen=True)
class CardState:
    """What is known of one card: the last checklist, whether a check is under way, and why the
    last one could not be made (empty: it could)."""

    report: Preflight | None = None
    checking: bool = False
    error: str = ""


class CardReadiness(QObject):
    """The state of each card that was asked about, by name. ``changed`` carries the name."""

    changed = Signal(str)

    def __init__(self, run_in_background: RunInBackground, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run = run_in_background
        self._states: dict[str, CardState] = {}
        self._stopping = threading.Event()
        self._waiting: list[str] = []
        self._once_more: set[str] = set()  # to be checked again when their check has ended

    def state(self, device: str) -> CardState:
        """What is known now."""
        return self._states.get(device, CardState())

    def words(self) -> dict[str, str]:
        """How each card stands, in a few words."""
        return {device: _words(state) for device, state in self._states.items()}

    def problems(self) -> dict[str, str]:
        """Why a card cannot train, for those that cannot."""
        return {
            device: state.report.summary()
            for device, state in self._states.items()
            if state.report is not None and not state.report.ready
        }

    def check(self, device: str, python: Path | None = None) -> None:
        """Check a card now, unless that is under way. With ``python``, it is used from now on."""
        state = self.state(device)
        if state.checking or self._stopping.is_set():
            return
        self._set(device, CardState(state.report, checking=True))
        self._run(
            lambda: _checked(device, python, self._stopping.is_set),
            lambda report: self._set(device, CardState(report)),
            lambda reason: self._set(device, CardState(state.report, error=reason)),
        )

    def check_again(self, device: str) -> None:
        """Check a card now; where that is under way, once more afterwards."""
        if self.state(device).checking:
            self._once_more.add(device)
        else:
            self.check(device)

    def check_new(self, devices: list[str]) -> None:
        """Check those of which nothing is known yet, one after the other."""
        known = (*self._states, *self._waiting)
        self._waiting += [device for device in devices if device not in known]
        self._check_next()

    def stop(self) -> None:
        """End what is under way as soon as possible; nothing is checked any more."""
        self._stopping.set()

    def _check_next(self) -> None:
        if self._waiting and not any(state.checking for state in self._states.values()):
            self.check(self._waiting.pop(0))

    def _set(self, device: str, state: CardState) -> None:
        self._states[device] = state
        self.changed.emit(device)
        if state.checking:
            return
        if device in self._once_more:
            self._once_more.discard(device)
            self.check(device)
        self._check_next()


def _checked(device: str, python: Path | None, stop: Callable[[], bool]) -> Preflight:
    if python is not None:
        choose(device, python)
    return preflight(device, stop=stop)


def _words(state: CardState) -> str:
    if state.checking:
        return "being checked"
    if state.report is None:
        return "could not be checked"
    missing = len(state.report.blocking)
    if not missing:
        return "ready"
    return f"not ready: {missing} thing{'s' if missing > 1 else ''} missing"
