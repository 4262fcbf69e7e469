"""Slices under the mouse, and the transition."""

from __future__ import annotations

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from engine.cost.parameters import count
from engine.spec import ModelSpec
from trickster_gui.cost.donut import Donut
from trickster_gui.cost.ink import Look, make_look
from trickster_gui.cost.slices import block_ring, model_ring
from trickster_gui.theme import LIGHT

NANO = ModelSpec()


def make_donut(qtbot: QtBot) -> Donut:
    donut = Donut(plain_look())
    qtbot.addWidget(donut)
    donut.resize(200, 200)
    donut.show_ring(model_ring(NANO, count(NANO)))
    return donut


def plain_look() -> Look:
    return make_look(LIGHT, QGuiApplication.font())


def test_each_slice_is_found_at_its_middle(qtbot: QtBot) -> None:
    donut = make_donut(qtbot)
    for index, piece in enumerate(donut.ring.slices):
        if piece.count:
            assert donut.slice_at(donut.middle_of(index)) == index
    donut.show_ring(block_ring(NANO, count(NANO)))
    for index in range(9):
        assert donut.slice_at(donut.middle_of(index)) == index


def test_nothing_in_the_hole_and_outside(qtbot: QtBot) -> None:
    donut = make_donut(qtbot)
    assert donut.slice_at(QPointF(100, 100)) == -1
    assert donut.slice_at(QPointF(1, 1)) == -1


def test_angles_are_true_to_the_counts(qtbot: QtBot) -> None:
    donut = make_donut(qtbot)
    # Clockwise from twelve o'clock: embedding 1.27 %, attention to 31.63 %, feed-forward after.
    just_right_of_top = QPointF(102, 12)
    quarter, three_quarters = QPointF(188, 100), QPointF(12, 100)
    names = [donut.ring.slices[donut.slice_at(at)].component
             for at in (just_right_of_top, quarter, three_quarters)]  # fmt: skip
    assert names == ["embedding", "attention", "mlp"]


def test_an_empty_donut_points_at_nothing(qtbot: QtBot) -> None:
    donut = Donut(plain_look())
    qtbot.addWidget(donut)
    donut.resize(100, 100)
    donut.grab()
    assert donut.slice_at(QPointF(50, 5)) == -1


def test_it_unfolds_within_150_ms_only_when_asked(qtbot: QtBot) -> None:
    donut = make_donut(qtbot)
    with qtbot.waitExposed(donut):
        donut.show()
    ring = block_ring(NANO, count(NANO))
    donut.show_ring(ring)
    assert donut.opened == 1.0
    donut.show_ring(ring, unfold=True)
    assert donut.transition_ms <= 150
    qtbot.waitUntil(lambda: donut.opened == 1.0)


def test_the_middle_is_clicked_for_the_total(qtbot: QtBot) -> None:
    donut = make_donut(qtbot)
    with qtbot.waitSignal(donut.centre_pressed):
        qtbot.mouseClick(donut, Qt.MouseButton.LeftButton, pos=donut.rect().center())
    with qtbot.waitSignal(donut.pressed) as blocker:
        qtbot.mouseClick(donut, Qt.MouseButton.LeftButton, pos=donut.middle_of(3).toPoint())
    assert blocker.args == [3]
