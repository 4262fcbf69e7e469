"""A monitor that ends what it has begun."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from tests.gui.bridge_double import DoubleLauncher
from tests.gui.monitor.stage import Stage


@pytest.fixture
def stage(qtbot: QtBot, tmp_path: Path) -> Iterator[Stage]:
    launcher = DoubleLauncher(tmp_path / "runs")
    made = Stage(qtbot, launcher)
    yield made
    made.view.hide()
    made.bridge.shutdown()
    for process in launcher.processes:
        process.kill()
        process.wait()
    from tests.gui.test_bridge import forget_ended_dummies

    forget_ended_dummies()
