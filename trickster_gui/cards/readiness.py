"""CardReadiness: checks in the background whether cards can train, and knows what came of it.

What trains on a card is a choice (RunSpec.card_backend), and each needs other things.
"""

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
    """The state of each card that was asked about, by name and by what would train on it.

    ``changed`` carries both.
    """

    changed = Signal(str, str)

    def __init__(self, run_in_background: RunInBackground, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run = run_in_background
        self._states: dict[tuple[str, str], CardState] = {}
        self._stopping = threading.Event()
        self._waiting: list[tuple[str, str]] = []
        # To be checked again when their check has ended.
        self._once_more: set[tuple[str, str]] = set()

    def state(self, device: str, backend: str = "ttnn") -> CardState:
        """What is known now."""
        return self._states.get((device, backend), CardState())

    def words(self, backend: str = "ttnn") -> dict[str, str]:
        """How each card stands for what would train on it, in a few words."""
        return {device: _words(state) for device, state in self._states_for(backend)}

    def problems(self, backend: str = "ttnn") -> dict[str, str]:
        """Why a card cannot train by ``backend``, for those that cannot."""
        return {
            device: state.report.summary()
            for device, state in self._states_for(backend)
            if state.report is not None and not state.report.ready
        }

    def check(self, device: str, python: Path | None = None, backend: str = "ttnn") -> None:
        """Check a card now, unless that is under way. With ``python``, ``backend``
        trains on it with that one from now on."""
        state = self.state(device, backend)
        if state.checking or self._stopping.is_set():
            return
        key = (device, backend)
        self._set(key, CardState(state.report, checking=True))
        self._run(
            lambda: _checked(device, backend, python, self._stopping.is_set),
            lambda report: self._set(key, CardState(report)),
            lambda reason: self._set(key, CardState(state.report, error=reason)),
        )

    def check_again(self, device: str, backend: str = "ttnn") -> None:
        """Check a card now; where that is under way, once more afterwards."""
        if self.state(device, backend).checking:
            self._once_more.add((device, backend))
        else:
            self.check(device, backend=backend)

    def check_new(self, devices: list[str], backend: str = "ttnn") -> None:
        """Check those of which nothing is known yet, one after the other."""
        known = (*self._states, *self._waiting)
        wanted = [(device, backend) for device in devices]
        self._waiting += [key for key in wanted if key not in known]
        self._check_next()

    def stop(self) -> None:
        """End what is under way as soon as possible; nothing is checked any more."""
        self._stopping.set()

    def _states_for(self, backend: str) -> list[tuple[str, CardState]]:
        return [(device, state) for (device, by), state in self._states.items() if by == backend]

    def _check_next(self) -> None:
        if self._waiting and not any(state.checking for state in self._states.values()):
            device, backend = self._waiting.pop(0)
            self.check(device, backend=backend)

    def _set(self, key: tuple[str, str], state: CardState) -> None:
        self._states[key] = state
        self.changed.emit(*key)
        if state.checking:
            return
        if key in self._once_more:
            self._once_more.discard(key)
            device, backend = key
            self.check(device, backend=backend)
        self._check_next()


def _checked(device: str, backend: str, python: Path | None, stop: Callable[[], bool]) -> Preflight:
    if python is not None:
        choose(device, python, backend)
    return preflight(device, backend=backend, stop=stop)


def _words(state: CardState) -> str:
    if state.checking:
        return "being checked"
    if state.report is None:
        return "could not be checked"
    missing = len(state.report.blocking)
    if not missing:
        return "ready"
    return f"not ready: {missing} thing{'s' if missing > 1 else ''} missing"
