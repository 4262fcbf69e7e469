"""The checklist: what it shows, and what its buttons do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QPushButton
from pytestqt.qtbot import QtBot

from engine.devices.interpreter import remember, remembered
from tests.engine.devices import stand_in
from trickster_gui.app import Application
from trickster_gui.cards.checklist import Checklist
from trickster_gui.theme import DARK, LIGHT

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture
def checklist(application: Application, found: Callable[[], None]) -> Checklist:
    """The list of the n150, which lacks a Python for its worker."""
    found()
    application.cards.open_checklist("n150:0")
    opened = application.cards.checklist
    assert opened is not None
    return opened


def settled(application: Application, qtbot: QtBot) -> None:
    state = application.cards.readiness.state
    qtbot.waitUntil(lambda: not state("n150:0").checking, timeout=30_000)


def test_it_says_what_is_there_and_what_is_missing(checklist: Checklist) -> None:
    assert checklist.isVisible()
    assert checklist.heading.text() == "Training on n150:0 · Wormhole n150"
    assert checklist.summary.text() == (
        "Cannot train on n150:0: no Python 3.10 or 3.12 was found, and ttnn exists for no other"
    )
    text = checklist.list.toPlainText()
    assert "✓" in text
    assert "✗" in text
    assert re.search(r"Python for the worker · missing", text)
    assert "sudo apt install python3.12" in text
    assert checklist.row.python.text() == "none found"


def test_its_controls_have_names_and_are_reached_by_keyboard(checklist: Checklist) -> None:
    assert checklist.list.accessibleName() == "Checklist"
    assert checklist.list.focusPolicy() & Qt.FocusPolicy.TabFocus
    for button in checklist.findChildren(QPushButton):
        assert button.accessibleName()
        assert button.focusPolicy() & Qt.FocusPolicy.TabFocus
    QTest.keyClick(checklist, Qt.Key.Key_Escape)
    assert not checklist.isVisible()


def test_all_of_it_can_be_selected_and_copied(checklist: Checklist) -> None:
    checklist.list.setFocus()
    QTest.keyClick(checklist.list, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert "Kernel driver" in checklist.list.textCursor().selectedText()
    QTest.mouseClick(checklist.copy, Qt.MouseButton.LeftButton)
    copied = QGuiApplication.clipboard().text()
    assert copied.startswith("cannot train on n150:0: ")
    assert "missing  Python for the worker" in copied


def test_addresses_are_links_and_the_marks_around_them_are_not(
    application: Application, checklist: Checklist, qtbot: QtBot, tmp_path: Path
) -> None:
    (tmp_path / "machine" / "proc" / "mounts").write_text("")
    application.cards.readiness.check("n150:0")
    settled(application, qtbot)
    page = checklist.list.toHtml()
    assert 'href="https://github.com/tenstorrent/tt-system-tools"' in page
    assert "(https://github.com/tenstorrent/tt-system-tools), then:" in checklist.list.toPlainText()


def test_one_list_is_open_at_a_time(
    application: Application, checklist: Checklist, qtbot: QtBot
) -> None:
    application.cards.open_checklist("p150:0")
    another = application.cards.checklist
    assert another is not None
    assert another.device == "p150:0"
    assert not checklist.isVisible()


def test_check_again_sees_what_was_mended(
    application: Application, checklist: Checklist, python: Path, qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from engine.devices import interpreter

    monkeypatch.setattr(interpreter, "candidates", lambda: (python,))
    before = checklist.sizeHint()
    QTest.mouseClick(checklist.check, Qt.MouseButton.LeftButton)
    assert checklist.summary.text().startswith("Checking")
    assert not checklist.check.isEnabled()
    assert "Kernel driver" in checklist.list.toPlainText(), "the last list stays meanwhile"
    settled(application, qtbot)
    assert checklist.summary.text() == "Training on n150:0 can start"
    assert checklist.row.python.text() == str(python)
    assert "✗" not in checklist.list.toPlainText()
    assert checklist.sizeHint() == before, "nothing jumps"


def test_a_python_can_be_chosen_and_is_remembered(
    application: Application, checklist: Checklist, python: Path, qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(python), ""))
    QTest.mouseClick(checklist.row.choose, Qt.MouseButton.LeftButton)
    settled(application, qtbot)
    assert checklist.row.python.text() == str(python)
    assert checklist.summary.text() == "Training on n150:0 can start"
    assert remembered() == {("n150:0", "ttnn"): python}


def test_a_python_chosen_for_tt_train_leaves_that_of_our_own_graph(
    application: Application, checklist: Checklist, python: Path, qtbot: QtBot, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    remember("n150:0", python)
    application.document.edit(run={"device": "n150:0", "card_backend": "tt-train"})
    application.cards.open_checklist("n150:0")
    state, opened = application.cards.readiness.state, application.cards.checklist
    assert opened is not None
    qtbot.waitUntil(lambda: not state("n150:0", "tt-train").checking, timeout=30_000)
    built = stand_in.python_of_tt_train(tmp_path / "built")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(built), ""))
    QTest.mouseClick(opened.row.choose, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: opened.row.python.text() == str(built), timeout=30_000)
    assert opened.summary.text() == "Training on n150:0 by tt-train can start"
    assert remembered() == {("n150:0", "ttnn"): python, ("n150:0", "tt-train"): built}


def test_a_file_that_is_no_fitting_python_changes_nothing(
    application: Application, checklist: Checklist, tmp_path: Path, qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    old = stand_in.python(tmp_path / "old", version=(3, 11))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(old), ""))
    QTest.mouseClick(checklist.row.choose, Qt.MouseButton.LeftButton)
    settled(application, qtbot)
    assert "is Python 3.11.4; ttnn exists for 3.10 and 3.12 only" in checklist.summary.text()
    assert "Kernel driver" in checklist.list.toPlainText()
    assert remembered() == {}
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    QTest.mouseClick(checklist.row.choose, Qt.MouseButton.LeftButton)
    assert not application.cards.readiness.state("n150:0").checking


def test_both_themes(application: Application, checklist: Checklist) -> None:
    for choice, theme in (("dark", DARK), ("light", LIGHT)):
        application.themes.choose(choice)  # type: ignore[arg-type]
        assert theme.danger in checklist.list.toHtml()
        assert theme.muted in checklist.list.toHtml()


def test_what_a_card_says_is_never_taken_for_markup(
    application: Application, checklist: Checklist, qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    bad = stand_in.python(
        tmp_path / "bad", sources={"ttnn": "raise ImportError('<b>bold</b> <img src=x>')"}
    )
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(bad), ""))
    QTest.mouseClick(checklist.row.choose, Qt.MouseButton.LeftButton)
    settled(application, qtbot)
    assert "<b>bold</b> <img src=x>" in checklist.list.toPlainText()
