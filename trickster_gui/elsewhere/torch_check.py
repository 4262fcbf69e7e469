"""TorchCheck: has a process that loads torch say whether a run could go on on a device of torch's.

The window never loads torch; only torch knows whether it can use a device, and in which precision.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QObject, Signal

from engine.parameter import SpecError
from engine.run_spec import run_parameters
from trickster_gui.bridge.background import OnDone, OnError, Task
from trickster_gui.bridge.orders import Elsewhere

# How far it shall go is no question to torch; whoever asks knows how far the run has come.
_FAR = int(run_parameters()["steps"].maximum or 1)


class CheckResume(Protocol):
    """RunBridge.check_resume."""

    def __call__(
        self, path: Path, elsewhere: Elsewhere, steps: int, on_line: Callable[[str], None],
        on_done: OnDone, on_error: OnError, /,
    ) -> Task: ...  # fmt: skip


@dataclass(frozen=True)
class TorchState:
    """What is known of one device and precision: nothing yet, that it is being asked, that it can
    (``known`` without a problem) or why not."""

    checking: bool = False
    known: bool = False
    problem: SpecError | None = None


class TorchCheck(QObject):
    """The answers for one run, by device and precision; each is asked for once.

    ``changed`` tells that there is something new. An answer that comes when nobody waits for it any
    more is kept: what is under way is not ended, which could make the window wait.
    """

    changed = Signal()

    def __init__(self, check: CheckResume, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._check, self._path = check, path
        self._states: dict[tuple[str, str], TorchState] = {}

    def state(self, device: str, precision: str) -> TorchState:
        """What is known now."""
        return self._states.get((device, precision), TorchState())

    def ask(self, device: str, precision: str) -> None:
        """Find out, unless it is known or being found out."""
        key = (device, precision)
        if key in self._states:
            return
        said: list[str] = []
        self._states[key] = TorchState(checking=True)
        self._check(
            self._path, Elsewhere(device, precision), _FAR, said.append,
            lambda _: self._set(key, TorchState(known=True)),
            lambda reason: self._set(key, TorchState(known=True, problem=_problem(said, reason))),
        )  # fmt: skip

    def _set(self, key: tuple[str, str], state: TorchState) -> None:
        self._states[key] = state
        self.changed.emit()


def _problem(said: list[str], reason: str) -> SpecError:
    """What the process told of, or else why it could not tell anything."""
    for line in said:
        try:
            told = json.loads(line)["problem"]
            return SpecError(str(told["field"]), str(told["message"]), dict(told["fix"]))
        except (ValueError, KeyError, TypeError):
            continue
    return SpecError("device", reason)
