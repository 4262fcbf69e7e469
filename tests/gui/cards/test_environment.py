"""The button that makes the environment of cards: what it says, does, and survives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from engine.devices import base_python, interpreter
from engine.devices.interpreter import UNFINISHED, remember, remembered
from tests.engine.devices import fake_base, stand_in
from tests.engine.devices.fake_base import Base
from trickster_gui.app import Application
from trickster_gui.cards.checklist import Checklist
from trickster_gui.cards.environment import MakingState
from trickster_gui.theme import DARK, LIGHT

pytestmark = [
    pytest.mark.qt_log_ignore("This plugin does not support", extend=True),
    pytest.mark.skipif(sys.platform != "linux", reason="cards train on Linux only"),
]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """The only Python here that an environment could be made with."""
    made = Base(tmp_path / "base", tmp_path / "environment")
    monkeypatch.setattr(base_python, "base_candidates", lambda: (made.python,))
    return made


@pytest.fixture
def checklist(base: Base, application: Application, found: Callable[[], None]) -> Checklist:
    """The list of the n150, which lacks a Python for its worker."""
    found()
    return opened(application, "n150:0")


def opened(application: Application, device: str) -> Checklist:
    application.cards.open_checklist(device)
    checklist = application.cards.checklist
    assert checklist is not None
    return checklist


def press(checklist: Checklist) -> None:
    QTest.mouseClick(checklist.row.make, Qt.MouseButton.LeftButton)


def idle(application: Application, qtbot: QtBot) -> None:
    cards = application.cards
    qtbot.waitUntil(
        lambda: (
            cards.maker.state.step == "idle"
            and not any(cards.readiness.state(name).checking for name in ("n150:0", "p150:0"))
        ),
        timeout=30_000,
    )


def under_way(checklist: Checklist, qtbot: QtBot) -> None:
    """Waits until the fake pip names its last package; it then hangs."""
    qtbot.waitUntil(lambda: "psutil" in checklist.row.note.text(), timeout=30_000)


def test_it_is_offered_where_a_python_is_missing(checklist: Checklist, base: Base) -> None:
    row = checklist.row
    assert row.make.isVisible()
    assert row.make.text() == "Make it"
    assert row.note.text() == (
        f"Downloads about 175 MB and keeps 750 MB in {base.folder}; no other Python is changed."
    )
    assert row.note.text() in row.make.toolTip()
    assert not row.bar.isVisible()


def test_it_is_not_offered_for_tt_train_whose_ttml_it_would_not_have(
    checklist: Checklist, base: Base
) -> None:
    row, report = checklist.row, checklist._readiness.state(checklist.device).report
    assert row.make.isVisible()
    row.show_state(report, MakingState(), checking=False, of_use=False)
    assert not row.make.isVisible()
    assert row.note.text() == ""


def test_it_is_not_offered_where_nothing_of_it_is_missing(
    application: Application, found: Callable[[], None], python: Path, tmp_path: Path
) -> None:
    remember("n150:0", python)
    (tmp_path / "machine" / "proc" / "mounts").write_text("")  # hugepages are another matter
    found()
    row = opened(application, "n150:0").row
    assert not row.make.isVisible()
    assert row.note.text() == ""


@pytest.mark.parametrize("module", ["ttnn", "tokenizers"])
def test_it_is_offered_where_packages_are_missing(
    application: Application, found: Callable[[], None], tmp_path: Path, module: str
) -> None:
    there = {k: v for k, v in stand_in.PACKAGES.items() if k != module}
    remember("n150:0", stand_in.python(tmp_path / "other", there))
    found()
    assert opened(application, "n150:0").row.make.isVisible()


def test_one_press_makes_it_chooses_it_and_checks_again(
    application: Application, checklist: Checklist, base: Base, qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    python = base.folder / "bin" / "python"
    monkeypatch.setattr(interpreter, "candidates", lambda: (python,) * python.exists())
    size, height = checklist.sizeHint(), checklist.row.height()
    press(checklist)
    assert checklist.row.make.text() == "Cancel"
    assert checklist.row.bar.isVisible()
    assert not checklist.row.choose.isEnabled()
    assert not checklist.check.isEnabled()
    assert (checklist.sizeHint(), checklist.row.height()) == (size, height), "nothing jumps"
    idle(application, qtbot)
    assert checklist.summary.text() == "Training on n150:0 can start"
    assert checklist.row.python.text() == str(python)
    assert not checklist.row.make.isVisible()
    assert not checklist.row.bar.isVisible()
    assert checklist.row.choose.isEnabled()
    assert remembered() == {("n150:0", "ttnn"): python}
    other = application.cards.readiness.state("p150:0").report
    assert other is not None
    assert other.ready, "the other card was checked again too"


def test_progress_is_shown_and_survives_the_dialog(
    application: Application, checklist: Checklist, base: Base, qtbot: QtBot
) -> None:
    base.script("download", base.hanging(fake_base.DOWNLOADED))
    press(checklist)
    under_way(checklist, qtbot)
    assert checklist.row.note.text().startswith("Downloading psutil 7.2.2")
    assert 0 < checklist.row.bar.fraction() < 1
    checklist.close()
    again = opened(application, "p150:0")
    assert again.row.make.text() == "Cancel"
    assert again.row.note.text().startswith("Downloading psutil 7.2.2")
    assert again.row.bar.isVisible()
    press(again)
    assert again.row.make.text() == "Cancelling…"
    assert not again.row.make.isEnabled()
    idle(application, qtbot)
    assert again.row.make.text() == "Make it"
    assert again.row.note.text().startswith("Downloads about")
    assert not base.folder.exists()
    assert remembered() == {}


def test_it_ends_with_the_program(
    application: Application, checklist: Checklist, base: Base, qtbot: QtBot
) -> None:
    base.script("install", base.hanging(fake_base.INSTALLED))
    press(checklist)
    qtbot.waitUntil(base.begun, timeout=30_000)
    children = psutil.Process().children(recursive=True)
    assert children
    application.close()
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert not base.folder.exists()


def test_an_error_is_shown_until_something_is_done_about_it(
    application: Application, checklist: Checklist, base: Base, qtbot: QtBot
) -> None:
    base.script("download", base.failing(fake_base.UNREACHED))
    press(checklist)
    idle(application, qtbot)
    note = checklist.row.note
    assert note.text().startswith("The package index cannot be reached. Check the network")
    for choice, theme in (("dark", DARK), ("light", LIGHT)):
        application.themes.choose(choice)  # type: ignore[arg-type]
        assert theme.danger in note.styleSheet()
    assert checklist.row.make.isEnabled()
    QTest.mouseClick(checklist.check, Qt.MouseButton.LeftButton)
    idle(application, qtbot)
    assert note.text().startswith("Downloads about")


def test_without_any_python_it_says_to_install_one(
    application: Application, checklist: Checklist, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_python, "base_candidates", lambda: ())
    press(checklist)
    idle(application, qtbot)
    assert "sudo apt install python3.12 python3.12-venv" in checklist.row.note.text()


def test_what_pip_says_is_no_markup(
    application: Application, checklist: Checklist, base: Base, qtbot: QtBot
) -> None:
    base.script("download", base.failing("<b>bold</b> <img src=x>"))
    press(checklist)
    idle(application, qtbot)
    assert "<b>bold</b>" in checklist.row.note.text()
    assert checklist.row.note.textFormat() == Qt.TextFormat.PlainText


def test_one_that_is_unfinished_is_mended(
    base: Base, application: Application, found: Callable[[], None], qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    python = base.folder / "bin" / "python"
    stand_in.python(base.folder)
    python.symlink_to("python3")
    (base.folder / UNFINISHED).write_text("")
    remember("n150:0", python)
    found()
    checklist = opened(application, "n150:0")
    assert "its environment is not finished" in checklist.list.toPlainText()
    assert checklist.row.make.text() == "Mend it"
    press(checklist)
    idle(application, qtbot)
    assert checklist.summary.text() == "Training on n150:0 can start"


def test_its_buttons_are_reached_by_keyboard(checklist: Checklist) -> None:
    for button in (checklist.row.make, checklist.row.choose):
        assert button.accessibleName()
        assert button.focusPolicy() & Qt.FocusPolicy.TabFocus
