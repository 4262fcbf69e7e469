"""What the message bar says of a run, and for how long it is true."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from tests.gui.bridge_double import DoubleLauncher
from tests.gui.monitor.synthetic_run import scene, write_run
from trickster_gui.app import Application

# The offscreen platform says so whenever a list or a menu opens.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def interrupted(application: Application, qtbot: QtBot, home: Path) -> DoubleLauncher:
    """Train, and kill the worker."""
    bridge, bar = application.bridge, application.window.bar
    launcher = DoubleLauncher(home)
    bridge._launcher = launcher
    application.document.rename("first")
    application.window.monitor.train()
    qtbot.waitUntil(lambda: bridge.state == "running", timeout=10_000)
    launcher.processes[0].kill()
    launcher.processes[0].wait()
    qtbot.waitUntil(lambda: bar.action.text() == "Resume", timeout=10_000)
    return launcher


def end(application: Application, qtbot: QtBot, launcher: DoubleLauncher) -> None:
    application.bridge.stop()
    qtbot.waitUntil(lambda: application.bridge.state == "finished", timeout=10_000)
    launcher.processes[-1].wait()


def test_an_interruption_is_past_when_another_run_starts(
    application: Application, qtbot: QtBot, tmp_path: Path
) -> None:
    launcher = interrupted(application, qtbot, tmp_path)
    application.document.rename("second")
    application.window.monitor.train()
    assert application.window.bar.message() is None
    assert not application.window.bar.action.isVisible()
    listed = [m for m in application.messages.recent if "was interrupted" in m.text]
    assert len(listed) == 1
    assert listed[0].action is None
    qtbot.waitUntil(lambda: application.bridge.state == "running", timeout=10_000)
    end(application, qtbot, launcher)


def test_an_interruption_is_past_when_another_run_is_opened(
    application: Application, qtbot: QtBot, tmp_path: Path
) -> None:
    interrupted(application, qtbot, tmp_path / "runs")
    other = write_run(tmp_path / "other", scene("finished"))
    application.bridge.attach(other.path)
    qtbot.waitUntil(lambda: application.bridge.state == "finished", timeout=10_000)
    assert application.window.bar.message() is None


def test_resume_goes_on_with_the_run_that_was_interrupted(
    application: Application, qtbot: QtBot, tmp_path: Path
) -> None:
    launcher = interrupted(application, qtbot, tmp_path / "runs")
    message = application.window.bar.message()
    assert message is not None
    assert message.action is not None
    other = write_run(tmp_path / "other", scene("finished"))
    application.bridge.attach(other.path)
    qtbot.waitUntil(lambda: application.bridge.state == "finished", timeout=10_000)
    message.action()  # as a list of messages that was open all the while would
    qtbot.waitUntil(lambda: application.bridge.state == "running", timeout=10_000)
    assert application.bridge.watched is not None
    assert application.bridge.watched.path == tmp_path / "runs" / "first"
    end(application, qtbot, launcher)


def test_resuming_from_the_bar_withdraws_what_it_said(
    application: Application, qtbot: QtBot, tmp_path: Path
) -> None:
    launcher = interrupted(application, qtbot, tmp_path)
    QTest.mouseClick(application.window.bar.action, Qt.MouseButton.LeftButton)
    assert application.window.bar.message() is None
    qtbot.waitUntil(lambda: application.bridge.state == "running", timeout=10_000)
    end(application, qtbot, launcher)
