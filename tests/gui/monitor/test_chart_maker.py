"""The chart comes after the window, and nothing moves when it comes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.gui.monitor.synthetic_run import scene, write_run
from trickster_gui.bridge import RunBridge
from trickster_gui.document import Design, Document
from trickster_gui.monitor.view import MonitorView
from trickster_gui.theme import ThemeSource

_OPEN = """
import sys
from PySide6.QtWidgets import QApplication
from trickster_gui.app import Application, prepare
application = QApplication([])
prepare(application)
opened = Application()
opened.start()
application.processEvents()
print("pyqtgraph" in sys.modules, "torch" in sys.modules)
opened.close()
"""


def test_the_window_is_there_before_the_charts_modules(tmp_path: Path) -> None:
    environment = {**os.environ, "TRICKSTER_HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", _OPEN], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_the_chart_comes_by_itself_and_moves_nothing(qtbot: QtBot) -> None:
    bridge = RunBridge()
    document = Document(Design(ModelSpec(), RunSpec()))
    view = MonitorView(document, ThemeSource("light"), bridge)
    qtbot.addWidget(view)
    view.resize(700, 330)
    view.show()
    assert view.chart_pending
    before = [(view.stack.geometry(), view.samples.geometry(), view.minimumSizeHint())]
    with qtbot.waitSignal(view.chart_made, timeout=20_000):
        pass
    QApplication.processEvents()
    assert not view.chart_pending
    assert [(view.stack.geometry(), view.samples.geometry(), view.minimumSizeHint())] == before
    bridge.shutdown()


def test_a_run_that_comes_first_is_told_that_the_chart_is_coming(
    qtbot: QtBot, tmp_path: Path
) -> None:
    bridge = RunBridge()
    view = MonitorView(Document(Design(ModelSpec(), RunSpec())), ThemeSource("light"), bridge)
    qtbot.addWidget(view)
    view.resize(940, 400)
    view.show()
    bridge.attach(write_run(tmp_path / "finished", scene("finished")).path)
    qtbot.waitUntil(lambda: view.empty.headline() == "Preparing the chart…", timeout=10_000)
    qtbot.waitUntil(lambda: view.stack.currentWidget() is view.chart, timeout=20_000)
    assert view.chart.plots.floor_labels()
    view.hide()
    bridge.shutdown()
