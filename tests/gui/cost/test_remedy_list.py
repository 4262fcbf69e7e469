"""What would lower the peak: named beside it, listed on a click, made by another."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from engine.cost.memory import training_memory
from engine.cost.remedies import remedies
from engine.spec import ModelSpec
from engine.words import percent
from trickster_gui.cost.remedy_list import MOST_ROWS
from trickster_gui.cost.view import CostView
from trickster_gui.document import Document

LEFT = Qt.MouseButton.LeftButton
MakeView = Callable[..., CostView]


def settled(qtbot: QtBot, view: CostView) -> None:
    qtbot.waitUntil(lambda: not view.busy)


def test_the_best_saving_is_named_and_the_list_opens(
    qtbot: QtBot, make_view: MakeView, document: Document
) -> None:
    view = make_view(device="n150")
    run = document.run.replace(device="n150")
    found = remedies(ModelSpec(), run)
    share = percent(found[0].saved_bytes / training_memory(ModelSpec(), run).peak_bytes)
    assert view.memory.lighten.text() == f"Lower it: \N{MINUS SIGN}{share}"
    listed = view.memory.remedies
    assert not listed.isVisible()
    qtbot.mouseClick(view.memory.lighten, LEFT)
    assert listed.isVisible()
    assert view.rect().contains(listed.geometry())
    shown = [row.remedy for row in listed.rows]
    assert shown == list(found[:MOST_ROWS])
    assert found[0].change.price in listed.rows[0].toolTip()


def test_a_click_makes_the_change_and_undo_takes_it_back(
    qtbot: QtBot, make_view: MakeView, document: Document
) -> None:
    view = make_view(device="n150")
    qtbot.mouseClick(view.memory.lighten, LEFT)
    row = next(
        r for r in view.memory.remedies.rows if "gradient_checkpointing" in r.remedy.change.run
    )
    promised = row.remedy.peak_bytes
    qtbot.mouseClick(row, LEFT)
    assert not view.memory.remedies.isVisible()
    assert document.run.gradient_checkpointing
    settled(qtbot, view)
    assert view.cost is not None
    assert view.cost.memory.peak_bytes == promised
    document.undo_stack.undo()
    assert not document.run.gradient_checkpointing


def test_half_the_batch_is_half_of_all_chips_batch(
    qtbot: QtBot, make_view: MakeView, document: Document
) -> None:
    document.edit(run={"batch_size": 16, "accumulation_steps": 3, "card_backend": "tt-train"})
    view = make_view(device="t3k")  # 2 sequences a chip
    row = next(r for r in view.memory.remedies.rows if "batch_size" in r.remedy.change.run)
    assert row.remedy.change.run["batch_size"] == 1
    view.memory.change_wanted.emit(row.remedy.change)
    assert (document.run.batch_size, document.run.accumulation_steps) == (8, 6)


def test_the_keyboard_moves_chooses_and_closes(qtbot: QtBot, make_view: MakeView) -> None:
    view = make_view(device="n150")
    view.memory.lighten.setFocus()
    qtbot.keyClick(view.memory.lighten, Qt.Key.Key_Return)
    first, second = view.memory.remedies.rows[:2]
    assert QApplication.focusWidget() is first
    qtbot.keyClick(first, Qt.Key.Key_Down)
    assert QApplication.focusWidget() is second
    qtbot.keyClick(second, Qt.Key.Key_Escape)
    assert not view.memory.remedies.isVisible()


def test_it_closes_when_the_focus_goes_elsewhere_or_the_design_changes(
    qtbot: QtBot, make_view: MakeView, document: Document
) -> None:
    view = make_view(device="n150")
    qtbot.mouseClick(view.memory.lighten, LEFT)
    view.parameters.rows[0].setFocus()
    assert not view.memory.remedies.isVisible()
    qtbot.mouseClick(view.memory.lighten, LEFT)
    document.edit({"num_layers": 7})
    qtbot.waitUntil(lambda: not view.memory.remedies.isVisible())


@pytest.mark.parametrize("size", [(923, 330), (1500, 480), (2400, 900)])
def test_every_row_is_inside_the_popover(
    qtbot: QtBot, make_view: MakeView, size: tuple[int, int]
) -> None:
    view = make_view(*size, device="n150")
    qtbot.mouseClick(view.memory.lighten, LEFT)
    listed = view.memory.remedies
    assert view.rect().contains(listed.geometry())
    for row in listed.rows:
        assert listed.rect().contains(row.geometry())
    listed.grab()
