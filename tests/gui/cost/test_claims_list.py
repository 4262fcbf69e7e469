"""What a preset's source prints: one line in the title, everything in a popover."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from engine.cost.claims import checked_claims
from engine.presets import load_presets, preset
from trickster_gui.cost import ink
from trickster_gui.cost.claims_list import ClaimRow
from trickster_gui.cost.view import CostView
from trickster_gui.document import Document
from trickster_gui.presets_list import design_of

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

MakeView = Callable[..., CostView]
WITH_CLAIMS = [entry.id for entry in load_presets() if entry.claims]


def load(qtbot: QtBot, view: CostView, document: Document, name: str) -> None:
    document.load(design_of(preset(name)))
    qtbot.waitUntil(lambda: not view.busy)


def opened(qtbot: QtBot, view: CostView) -> list[ClaimRow]:
    claims = view.parameters.claims
    claims.setFocus()
    QTest.keyClick(claims, Qt.Key.Key_Return)
    shown = view.parameters.claims_list
    qtbot.waitUntil(shown.isVisible)
    return shown.rows


def test_the_title_says_what_the_source_prints(
    qtbot: QtBot, view: CostView, document: Document
) -> None:
    load(qtbot, view, document, "nano-trickster")
    claims = view.parameters.claims
    assert claims.text() == "The lesson prints ~11M ›"
    assert claims.accessibleName() == "The lesson prints ~11M: exact 5,180,672"
    assert claims.geometry().right() == view.parameters.rect().right()


def test_where_there_is_room_the_exact_number_stands_beside_it(
    qtbot: QtBot, make_view: MakeView, document: Document
) -> None:
    view = make_view(1_560, 640)
    load(qtbot, view, document, "nano-trickster")
    assert view.parameters.claims.text() == "The lesson prints ~11M: exact 5,180,672 ›"


def test_a_changed_design_is_nobodys_claim_and_nothing_moves(
    qtbot: QtBot, view: CostView, document: Document
) -> None:
    load(qtbot, view, document, "nano-trickster")
    parameters = view.parameters
    before = [row.geometry() for row in parameters.rows], parameters.donut.geometry()
    document.edit({"num_layers": 7})
    qtbot.waitUntil(lambda: not view.busy)
    assert parameters.claims.text() == ""
    assert not parameters.claims.isEnabled()
    assert ([row.geometry() for row in parameters.rows], parameters.donut.geometry()) == before
    document.undo_stack.undo()
    qtbot.waitUntil(lambda: not view.busy)
    assert parameters.claims.text() == "The lesson prints ~11M ›"
    document.edit(run={"batch_size": 4})  # the model is still the lesson's
    qtbot.waitUntil(lambda: not view.busy)
    assert parameters.claims.isEnabled()


def test_nothing_is_claimed_of_a_preset_without_a_printed_figure_nor_of_a_broken_one(
    qtbot: QtBot, view: CostView, document: Document
) -> None:
    for name in ("first-minute", "gpt2"):
        load(qtbot, view, document, name)
        assert not view.parameters.claims.isEnabled()
    load(qtbot, view, document, "nano-trickster")
    load(qtbot, view, document, "bad-design-heads")
    assert not view.parameters.claims.isEnabled()
    assert view.parameters.claims.text() == ""


def test_inside_a_block_it_gives_way_to_the_breadcrumbs(
    qtbot: QtBot, view: CostView, document: Document
) -> None:
    load(qtbot, view, document, "nano-trickster")
    parameters = view.parameters
    parameters.enter_block()
    taken = ink.width_of(parameters.look.bold, "/  One of 6 blocks") + parameters.back.width()
    if parameters.claims.isEnabled():
        assert parameters.claims.x() > taken
    parameters.leave_block()
    assert parameters.claims.text() == "The lesson prints ~11M ›"


@pytest.mark.parametrize("name", WITH_CLAIMS)
def test_the_popover_has_every_figure_and_none_is_clipped(
    qtbot: QtBot, view: CostView, document: Document, name: str
) -> None:
    load(qtbot, view, document, name)
    rows = opened(qtbot, view)
    assert [row.claim for row in rows] == list(checked_claims(preset(name)))
    for row in rows:
        look = row.look
        words = ink.width_of(look.base, row.claim.figure)
        assert words + sum(row.columns) + 2 * 16 <= row.width() - 2 * 14
        assert ink.width_of(look.base, row.claim.printed) <= row.columns[0]
        assert ink.width_of(look.bold, row.claim.exact.text) <= row.columns[1]
        assert row.height() == row.height_for(row.width())
    view.parameters.claims_list.close()


def test_it_is_used_by_keyboard(qtbot: QtBot, view: CostView, document: Document) -> None:
    load(qtbot, view, document, "tinyllama-1.1b")
    rows = opened(qtbot, view)
    shown = view.parameters.claims_list
    assert QApplication.focusWidget() is rows[0]
    QTest.keyClick(rows[0], Qt.Key.Key_Down)
    assert QApplication.focusWidget() is rows[1]
    QTest.keyClick(rows[1], Qt.Key.Key_End)
    last = rows[-1]
    assert QApplication.focusWidget() is last
    inside = shown.area.viewport().rect()
    top = last.mapTo(shown.area.viewport(), last.rect().topLeft())
    assert inside.contains(top), "the row that has the focus is in sight"
    QTest.keyClick(last, Qt.Key.Key_Return)
    assert QGuiApplication.clipboard().text() == "13200580608"
    QTest.keyClick(last, Qt.Key.Key_Escape)
    assert not shown.isVisible()


def test_every_row_says_all_of_it_to_a_screen_reader(
    qtbot: QtBot, view: CostView, document: Document
) -> None:
    load(qtbot, view, document, "nano-trickster")
    rows = opened(qtbot, view)
    assert rows[1].accessibleName() == (
        "Parameters of a block: The lesson prints 1.8M, exact 852,480"
    )
    assert rows[1].accessibleDescription() == rows[1].claim.why
    assert view.parameters.claims_list.accessibleName() == (
        "What the lesson prints, and what is exact"
    )
    view.parameters.claims_list.close()


def test_another_look_closes_it(qtbot: QtBot, view: CostView, document: Document) -> None:
    load(qtbot, view, document, "nano-trickster")
    opened(qtbot, view)
    view.resize(1_560, 640)
    assert not view.parameters.claims_list.isVisible()
    assert view.parameters.claims.isEnabled()
