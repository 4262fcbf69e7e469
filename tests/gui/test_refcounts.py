"""Qt's binding must give back every reference to None and True that it takes.

PySide6 6.12.0 on Python 3.11 doesn't. Measured with these very tests: each signal emit loses one
reference to True, each repaint of a chart 30 to None and 3.6 to True. True starts with under 4,000
of them; the interpreter aborts when the last one is "freed", after seconds of live charting.
6.11.3 loses none at all in the same tests.

The arithmetic: over N events such a fault lowers a count by N or more. A sound binding leaves it
where it was, but for what the interpreter and Qt release meanwhile (caches, frames). A fall of more
than N / 10 is taken as a fault: a tenth of what the smallest one would cause, far above what a
sound binding shows.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QObject, Signal
from PySide6.QtGui import QPaintEvent
from pytestqt.qtbot import QtBot

EVENTS = 3_000
WATCHED = {"None": None, "True": True}
# Lets a faulty binding be reported: without these, True runs out before the test is over and the
# interpreter aborts. They are never given back, for the same reason.
SPARE = [[value] * 100_000 for value in WATCHED.values()]

# From 3.12 on, None and True are immortal: their count never moves (PEP 683).
mortal = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="None and True are immortal from Python 3.12 on"
)

Counts = dict[str, int]


def reference_counts() -> Counts:
    """The counts, once all that earlier tests left to be freed is gone."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    for _ in range(20):  # what a finalizer revives is freed by a later round
        if not gc.collect():
            break
    return {name: sys.getrefcount(value) for name, value in WATCHED.items()}


def references_lost(act: Callable[[], None], events: int, read: Callable[[], Counts]) -> Counts:
    """Which counts fell by more than a tenth of `events` while `act` ran `events` times.

    The result maps each one's name to how far it fell; it is empty when none did.
    """
    read()
    for _ in range(events // 10):  # fills caches, so that they don't count
        act()
    before = read()
    for _ in range(events):
        act()
    after = read()
    falls = {name: before[name] - after[name] for name in before}
    return {name: fall for name, fall in falls.items() if fall > events // 10}


class Emitter(QObject):
    empty = Signal()
    flag = Signal(bool)
    anything = Signal(object)


@mortal
def test_emits_keep_none_and_true(qapp: object) -> None:
    emitter = Emitter()
    heard: list[object] = []
    emitter.empty.connect(lambda: heard.append(1))
    emitter.flag.connect(heard.append)
    emitter.anything.connect(heard.append)

    def emit() -> None:
        emitter.empty.emit()
        emitter.flag.emit(True)
        emitter.anything.emit(None)
        assert heard == [1, True, None]
        heard.clear()

    assert references_lost(emit, EVENTS, reference_counts) == {}


class CountedPlot(pg.PlotWidget):
    """A chart that counts how often it is painted."""

    painted = 0

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        self.painted += 1


@mortal
def test_repaints_of_a_chart_keep_none_and_true(qtbot: QtBot) -> None:
    plot = CountedPlot()
    qtbot.addWidget(plot)
    plot.resize(160, 120)
    curve = plot.plot()
    with qtbot.waitExposed(plot):
        plot.show()
    values = np.linspace(0.0, 1.0, 20)
    plot.painted = 0

    def paint() -> None:
        values[plot.painted % 20] += 0.01
        curve.setData(values)
        plot.viewport().repaint()

    repaints = EVENTS // 3
    assert references_lost(paint, repaints, reference_counts) == {}
    assert plot.painted >= repaints


def losing(lost_an_event: float) -> tuple[Callable[[], None], Callable[[], Counts]]:
    """An action, and counts of which True's falls by `lost_an_event` at each action."""
    done = 0

    def act() -> None:
        nonlocal done
        done += 1

    def read() -> Counts:
        return {"None": 10_000, "True": 5_000 - round(done * lost_an_event)}

    return act, read


def test_the_detector_finds_one_reference_lost_an_event() -> None:
    act, read = losing(1.0)
    assert references_lost(act, 1_000, read) == {"True": 1_000}


def test_the_detector_finds_one_reference_lost_every_fifth_event() -> None:
    act, read = losing(0.2)
    assert references_lost(act, 1_000, read) == {"True": 200}


@pytest.mark.parametrize("lost_an_event", [0.0, 0.05, -1.0])
def test_the_detector_is_not_alarmed_by_caches(lost_an_event: float) -> None:
    act, read = losing(lost_an_event)
    assert references_lost(act, 1_000, read) == {}
