"""What a tick of a slider costs the window: from the mouse to the last repaint.

Offscreen unless QT_QPA_PLATFORM says otherwise. The window is the real one with an empty home;
each tick is a real mouse move on a slider, and ends when nothing is left to repaint. Processor
time of the GUI thread is told beside wall time, which other programs on the machine lengthen.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import sys
import tempfile
from collections.abc import Callable
from time import perf_counter, thread_time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget

from benchmarks.measure import percentile
from trickster_gui import app as program
from trickster_gui import collector
from trickster_gui.app import Application
from trickster_gui.design.rows import NumberRow

TICKS = 200
FRAME_MS = 16.0
_MOST_REST_S = 10.0
_SLIDERS = ("hidden_dim", "num_layers", "num_heads", "mlp_dim", "max_seq_len", "vocab_size")


def main(arguments: list[str] | None = None) -> int:
    """Print a table; with --profile also where the time goes. 1 where a frame is not kept."""
    given = sys.argv[1:] if arguments is None else arguments
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ["TRICKSTER_HOME"] = home
        application = QApplication.instance() or QApplication(sys.argv[:1])
        assert isinstance(application, QApplication)
        program.prepare(application)
        opened = Application()
        opened.start()
        opened.window.resize(1_280, 800)
        opened.window.load_preset("nano-trickster")
        opened.window.monitor.chart_made.connect(collector.settle)
        _rest(opened)
        collector.settle()
        try:
            worst = _table(opened)
            if "--profile" in given:
                _profile(opened)
        finally:
            opened.close()
    return 0 if worst <= FRAME_MS else 1


def _rest(opened: Application) -> None:
    """Until the window has made what it makes after it has opened."""
    give_up = perf_counter() + _MOST_REST_S
    while opened.window.monitor.chart_pending and perf_counter() < give_up:
        QApplication.processEvents()


def _table(opened: Application) -> float:
    print(f"{'ms a tick':28}{'median':>8}{'p95':>8}{'largest':>9}{'wall median':>13}{'p95':>8}")
    worst = 0.0
    for name in _SLIDERS:
        times, wall = _drag(opened, name)
        median, p95 = percentile(times, 50), percentile(times, 95)
        worst = max(worst, median)
        walls = f"{percentile(wall, 50):13.2f}{percentile(wall, 95):8.2f}"
        print(f"{name:28}{median:8.2f}{p95:8.2f}{max(times):9.2f}{walls}")
    refresh = _time(opened.window.design.refresh)
    costs = _time(opened.window.design._show_costs)
    evaluation = _time(opened.window.cost.refresh)
    print(f"{'Design panel: its rows':28}{refresh:8.2f}")
    print(f"{'Design panel: notch costs':28}{costs:8.2f}")
    print(f"{'Cost view: evaluation':28}{evaluation:8.2f}")
    return worst


def _time(call: Callable[[], object], times: int = 50) -> float:
    spent = []
    for _ in range(times):
        begin = thread_time()
        call()
        spent.append(1e3 * (thread_time() - begin))
    return percentile(spent, 50)


def _drag(opened: Application, name: str) -> tuple[list[float], list[float]]:
    """Processor and wall time of each tick, in ms."""
    opened.window.load_preset("nano-trickster")
    opened.window.design.reveal(name)
    _settle()
    row = opened.window.design.row(name)
    assert isinstance(row, NumberRow)
    slider = row.slider
    assert slider is not None
    count = slider.maximum() + 1
    _mouse(slider, QEvent.Type.MouseButtonPress, slider.thumb_x())
    times, wall = [], []
    for tick in range(TICKS):
        at = tick % min(count, 24)
        began, begin = perf_counter(), thread_time()
        _mouse(slider, QEvent.Type.MouseMove, slider.thumb_x(at))
        _settle()
        times.append(1e3 * (thread_time() - begin))
        wall.append(1e3 * (perf_counter() - began))
    _mouse(slider, QEvent.Type.MouseButtonRelease, slider.thumb_x())
    _settle()
    return times, wall


def _mouse(widget: QWidget, kind: QEvent.Type, x: float) -> None:
    position = QPointF(x, widget.height() / 2)
    down = Qt.MouseButton.LeftButton
    button = Qt.MouseButton.NoButton if kind is QEvent.Type.MouseMove else down
    event = QMouseEvent(
        kind, position, widget.mapToGlobal(position), button, down, Qt.KeyboardModifier.NoModifier
    )
    QApplication.sendEvent(widget, event)


def _settle() -> None:
    """All that the tick asked for: timers of zero, then what they want repainted."""
    for _ in range(3):
        QApplication.processEvents()


def _profile(opened: Application) -> None:
    profile = cProfile.Profile()
    profile.enable()
    _drag(opened, "num_layers")
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(28)


if __name__ == "__main__":
    sys.exit(main())
