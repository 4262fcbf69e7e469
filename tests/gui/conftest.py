"""The real window, offscreen, with an empty home."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot


@pytest.fixture
def application(qtbot: QtBot) -> Iterator[object]:
    """The application as a person starts it, shown; everything ends with the test."""
    from PySide6.QtCore import QEvent
    from PySide6.QtWidgets import QApplication

    from trickster_gui.app import Application, prepare
    from trickster_gui.bridge import follower

    running = QApplication.instance()
    assert isinstance(running, QApplication)
    prepare(running)
    opened = Application()
    opened.start()
    qtbot.waitUntil(lambda: opened.window.isVisible() and opened.window.around.complete)
    yield opened
    opened.close()
    # A worker outlives the window: one that is about to end is waited for, or Python tells of it.
    for left in follower._left_running:
        left.wait(timeout=20)
    follower._left_running.clear()
    # A window left alive would be styled again with every later one.
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
