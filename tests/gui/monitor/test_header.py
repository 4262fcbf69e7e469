"""The buttons of a run, in the window with its style sheet and its shortcuts."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tests.gui.bridge_double import DoubleLauncher
from trickster_gui.app import Application
from trickster_gui.bridge import RunState
from trickster_gui.design.rows import NumberRow

# The offscreen platform says so whenever a list or a menu opens.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_of_a_button_has_room(application: Application, theme: str) -> None:
    application.themes.choose(theme)
    header = application.window.monitor.header
    header.set_more_steps(500, True)
    states: tuple[RunState, ...] = ("none", "running", "paused", "interrupted", "finished")
    places = set()
    for state in states:
        header.show_state(state, "")
        QApplication.processEvents()
        for button in (header.train, header.pause, header.stop, header.more):
            assert button.width() >= button.sizeHint().width(), (state, button.text())
            assert button.height() >= button.sizeHint().height(), (state, button.text())
        places.add(header.mark.x())
    assert len(places) == 1


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_R])
@pytest.mark.parametrize("focus", ["slider", "field", "nothing"])
def test_a_key_trains_wherever_the_focus_is(
    application: Application, qtbot: QtBot, tmp_path: Path, focus: str, key: Qt.Key
) -> None:
    window, bridge = application.window, application.bridge
    launcher = DoubleLauncher(tmp_path / "runs")
    bridge._launcher = launcher
    window.activateWindow()
    row = window.design.row("num_layers")
    assert isinstance(row, NumberRow)
    focused = {"slider": row.slider, "field": row.edit}.get(focus)
    if focused is None:
        inner = QApplication.focusWidget()
        if inner is not None:
            inner.clearFocus()
    else:
        focused.setFocus()
    assert QApplication.focusWidget() is focused
    QTest.keyClick(focused or window, key, Qt.KeyboardModifier.ControlModifier)
    assert bridge.alive
    qtbot.waitUntil(lambda: bridge.state == "running", timeout=10_000)
    QTest.keyClick(focused or window, key, Qt.KeyboardModifier.ControlModifier)
    assert len(launcher.processes) == 1
    bridge.stop()
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=10_000)
    launcher.processes[0].wait()


def test_a_key_trains_what_is_typed_in_a_field(
    application: Application, qtbot: QtBot, tmp_path: Path
) -> None:
    window, bridge = application.window, application.bridge
    launcher = DoubleLauncher(tmp_path / "runs")
    bridge._launcher = launcher
    window.activateWindow()
    row = window.design.row("num_layers")
    assert isinstance(row, NumberRow)
    row.edit.setFocus()
    row.edit.selectAll()
    QTest.keyClicks(row.edit, "3")
    QTest.keyClick(row.edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: bridge.watched is not None, timeout=10_000)
    assert bridge.watched is not None
    assert bridge.watched.model.num_layers == 3
    qtbot.waitUntil(lambda: bridge.state == "running", timeout=10_000)
    bridge.stop()
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=10_000)
    launcher.processes[0].wait()
