"""The window with a tiny run that ended, and the dialog that asks how it shall go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from engine.run_directory import RunDirectory
from tests.engine.training.tiny import new_run, train
from tests.gui.cards.conftest import cards, found, python
from trickster_gui.app import Application
from trickster_gui.elsewhere.dialog import ElsewhereDialog

__all__ = ["cards", "found", "python"]  # a computer with cards

Show = Callable[..., ElsewhereDialog]


@pytest.fixture
def ended(tmp_path: Path) -> RunDirectory:
    """Six steps of ten on the CPU, in fp32."""
    directory = new_run(
        tmp_path, steps=10, warmup_steps=2, validate_every=0, sample_every=0, save_every=0
    )
    train(directory, steps=6)
    record = directory.record()
    directory.write_record(replace(record, run=record.run.replace(steps=10)))
    return directory


@pytest.fixture
def show(application: Application, ended: RunDirectory, qtbot: QtBot) -> Show:
    """Shows the run in the window, and opens the dialog by the menu beside Resume."""

    def open_dialog() -> ElsewhereDialog:
        monitor, bridge = application.window.monitor, application.bridge
        bridge.attach(ended.path)
        qtbot.waitUntil(
            lambda: bridge.state == "finished" and monitor.history.step == 6, timeout=10_000
        )
        monitor.header.more_menu.aboutToShow.emit()
        monitor.header.elsewhere.trigger()
        qtbot.waitUntil(lambda: application.elsewhere.dialog is not None, timeout=10_000)
        dialog = application.elsewhere.dialog
        assert dialog is not None
        qtbot.waitExposed(dialog)
        return dialog

    return open_dialog
