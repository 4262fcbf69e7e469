"""Gets ready what draws the chart, while nobody waits for it: half a second of imports."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from time import perf_counter

from PySide6.QtCore import QObject, QTimer

from trickster_gui.bridge import RunBridge

_BEGIN_MS = 700  # the window has been painted and is at rest
_SLICE_S = 0.004
_BINDINGS = ("QtCore", "QtGui", "QtWidgets", "QtSvg", "QtTest")
_MODULE = "trickster_gui.monitor.chart_panel"


class ChartMaker(QObject):
    """Imports the chart's modules beside the event loop, then runs ``steps``, one a turn of it.

    pyqtgraph touches every class of Qt as it is imported, and PySide makes a class when it is
    first touched. That is done here before, in the window's own thread and a few milliseconds at
    a time; the import itself, which then is plain Python, goes into a thread.
    """

    def __init__(
        self, bridge: RunBridge, steps: tuple[Callable[[], object], ...],
        failed: Callable[[str], None], parent: QObject | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._bridge, self._steps, self._failed = bridge, list(steps), failed
        self._begun = False
        self._names: Iterator[None] = iter(())
        self._later = QTimer(self, singleShot=True, interval=_BEGIN_MS)
        self._later.timeout.connect(self.begin)
        self._turns = QTimer(self, interval=0)
        self._turns.timeout.connect(self._turn)

    def begin_later(self) -> None:
        """Begin once the window has come to rest."""
        if not self._begun:
            self._later.start()

    def begin(self) -> None:
        """Begin now. Further calls do nothing."""
        if not self._begun:
            self._begun = True
            self._later.stop()
            self._names = _touched()
            self._turns.start()

    def _turn(self) -> None:
        end = perf_counter() + _SLICE_S
        for _ in self._names:
            if perf_counter() > end:
                return
        self._turns.stop()
        self._bridge.run_in_background(
            lambda: importlib.import_module(_MODULE), self._imported, self._failed
        )

    def _imported(self, _: object = None) -> None:
        if self._steps:
            self._steps.pop(0)()
            QTimer.singleShot(0, self, self._imported)


def _touched() -> Iterator[None]:
    """Touches one class of Qt after the other."""
    for binding in _BINDINGS:
        module = importlib.import_module(f"PySide6.{binding}")
        for name in dir(module):
            getattr(module, name)
            yield
