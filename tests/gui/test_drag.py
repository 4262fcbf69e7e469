"""What one tick of a slider sets off in the whole window, counted rather than timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEvent, QObject, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from engine.cost.evaluation import evaluate
from engine.run_spec import run_problems
from engine.spec import problems
from trickster_gui import document as documents
from trickster_gui.app import Application
from trickster_gui.controls.slider import NotchSlider
from trickster_gui.cost import view as cost_view
from trickster_gui.cost.donut import Donut
from trickster_gui.cost.rows import FlatButton
from trickster_gui.cost.view import CostView
from trickster_gui.design.panel import DesignPanel
from trickster_gui.design.rows import NumberRow
from trickster_gui.main_window import MainWindow
from trickster_gui.monitor.empty_state import EmptyState
from trickster_gui.monitor.header import Header

TICKS = 8
SLIDERS = ("hidden_dim", "num_layers", "num_heads", "mlp_dim", "max_seq_len")


class Watcher(QObject):
    """Counts paint and layout events of every widget, by the widget's class."""

    def __init__(self) -> None:
        super().__init__()
        self.paints: Counter[type] = Counter()
        self.layouts: list[str] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Paint:
            self.paints[type(watched)] += 1
        elif event.type() is QEvent.Type.LayoutRequest:
            self.layouts.append(type(watched).__name__)
        return False


@pytest.fixture
def window(application: Application, qtbot: QtBot) -> MainWindow:
    application.window.resize(1_280, 800)
    application.window.load_preset("nano-trickster")
    qtbot.waitUntil(lambda: not application.window.monitor.chart_pending, timeout=20_000)
    qtbot.waitUntil(lambda: not application.window.cost.busy)
    # What follows when the hand has been still for a while is not a tick's.
    application.window.cost._calm.setInterval(600_000)
    for _ in range(6):  # the chart that has just come is laid out from the inside outwards
        settle()
    return application.window


@pytest.fixture
def watcher(window: MainWindow) -> Iterator[Watcher]:
    watching = Watcher()
    yield watching
    application = QApplication.instance()
    assert application is not None
    application.removeEventFilter(watching)


def grip(window: MainWindow, name: str) -> NotchSlider:
    """The slider of a parameter, in sight and held by the mouse."""
    window.design.reveal(name)
    row = window.design.row(name)
    assert isinstance(row, NumberRow)
    assert row.slider is not None
    send(row.slider, QEvent.Type.MouseButtonPress, row.slider.thumb_x())
    settle()
    return row.slider


def drag(slider: NotchSlider) -> int:
    """Move it by one notch at a time; return by how many."""
    first, step = slider.value(), 1 if slider.value() < slider.maximum() / 2 else -1
    ticks = min(TICKS, slider.maximum() // 2)
    for tick in range(1, ticks + 1):
        send(slider, QEvent.Type.MouseMove, slider.thumb_x(first + step * tick))
        settle()
    return ticks


def send(widget: QWidget, kind: QEvent.Type, x: float) -> None:
    position = QPointF(x, widget.height() / 2)
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    button = none if kind is QEvent.Type.MouseMove else left
    QApplication.sendEvent(
        widget,
        QMouseEvent(kind, position, widget.mapToGlobal(position), button, left,
                    Qt.KeyboardModifier.NoModifier),
    )  # fmt: skip


def settle() -> None:
    for _ in range(5):
        QApplication.processEvents()


def watch(watcher: Watcher) -> None:
    application = QApplication.instance()
    assert application is not None
    application.installEventFilter(watcher)


@pytest.mark.parametrize("name", SLIDERS)
def test_a_tick_repaints_the_window_once_and_lays_nothing_out(
    window: MainWindow, watcher: Watcher, name: str
) -> None:
    slider = grip(window, name)
    watch(watcher)
    ticks = drag(slider)
    assert watcher.layouts == []
    assert watcher.paints[CostView] == ticks
    # Another number of heads, or another context with RoPE, has the same parameters.
    same = name in ("num_heads", "max_seq_len")
    assert watcher.paints[Donut] == (0 if same else ticks)
    # A timer that comes due in the meantime may ask for one more.
    assert ticks <= watcher.paints[MainWindow] <= ticks + 2
    assert ticks <= watcher.paints[DesignPanel] <= ticks + 2


def test_a_tick_leaves_alone_what_says_the_same(window: MainWindow, watcher: Watcher) -> None:
    slider = grip(window, "num_layers")
    watch(watcher)
    ticks = drag(slider)
    assert watcher.paints[EmptyState] == 0
    assert watcher.paints[Header] == 0
    # The two buttons of the memory panel say once that they wait for the drag to end.
    assert watcher.paints[FlatButton] < ticks


def test_a_vocabulary_changes_one_line_of_the_sketch(window: MainWindow, watcher: Watcher) -> None:
    slider = grip(window, "vocab_size")
    watch(watcher)
    ticks = drag(slider)
    assert watcher.layouts == []
    assert watcher.paints[EmptyState] == ticks


def test_a_tick_is_one_evaluation_and_one_look_for_problems(
    window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()

    def counted(name: str, call: object) -> object:
        def inner(*arguments: object) -> object:
            calls[name] += 1
            return call(*arguments)  # type: ignore[operator]

        return inner

    slider = grip(window, "num_layers")
    monkeypatch.setattr(cost_view, "evaluate", counted("evaluate", evaluate))
    monkeypatch.setattr(documents, "problems", counted("problems", problems))
    monkeypatch.setattr(documents, "run_problems", counted("run_problems", run_problems))
    ticks = drag(slider)
    assert calls == {"evaluate": ticks, "problems": ticks, "run_problems": ticks}


def test_rows_that_are_out_of_sight_follow_when_they_come_back(window: MainWindow) -> None:
    row = window.design.row("warmup_steps")
    assert isinstance(row, NumberRow)
    assert row.isHidden()
    window.document.edit(run={"warmup_steps": 7})
    window.design.reveal("warmup_steps")
    assert row.edit.text() == "7"
