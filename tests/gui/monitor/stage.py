"""A monitor on the screen, for tests: real widgets, a real bridge, real files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.gui.bridge_double import DoubleLauncher
from tests.gui.monitor.synthetic_run import scene, write_run
from trickster_gui.bridge import RunBridge
from trickster_gui.document import Design, Document
from trickster_gui.monitor.view import MonitorView
from trickster_gui.theme import ThemeSource

TIMEOUT = 10_000


class Stage:
    """A monitor on the screen with everything that it needs."""

    def __init__(self, qtbot: QtBot, launcher: DoubleLauncher) -> None:
        self.qtbot, self.launcher = qtbot, launcher
        self.themes = ThemeSource("light")
        self.document = Document(Design(ModelSpec(vocab_size=256), RunSpec(steps=1_000), "try"))
        self.bridge = RunBridge(launcher=launcher)
        self.view = MonitorView(self.document, self.themes, self.bridge)
        self.messages: list[tuple[str, str]] = []
        self.view.message.connect(lambda severity, text, *_: self.messages.append((severity, text)))
        qtbot.addWidget(self.view)
        self.view.resize(940, 400)
        self.view.show()
        qtbot.waitExposed(self.view)

    def attach(self, name: str, home: Path) -> None:
        self.bridge.attach(write_run(home / name, scene(name)).path)
        state = {"failed": "failed", "finished": "finished"}.get(name, "interrupted")
        self.wait(lambda: self.bridge.state == state)
        self.view.refresh()

    def wait(self, condition: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(condition, timeout=TIMEOUT)

    def click(self, widget: QWidget) -> None:
        self.qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)
