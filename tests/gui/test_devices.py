"""How the window comes to know which cards there are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from engine.devices.card import Device
from tests.engine.devices.recorded import chip, program, smi_printing, snapshot
from trickster_gui.app import Application
from trickster_gui.devices import (
    Surroundings,
    device_entries,
    full_surroundings,
    with_free_memory,
)

# The offscreen platform says so whenever a list opens.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that comes first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", os.pathsep.join((str(folder), os.environ["PATH"])))
    return folder


def test_cards_that_only_a_tool_shows_come_in_later(tools: Path, qtbot: QtBot) -> None:
    smi_printing(tools, snapshot(chip("p150b", "7", 2)))
    opened = Application()
    opened.start()
    qtbot.waitUntil(lambda: bool(opened.window.around.cards), timeout=15_000)
    assert [card.name for card in opened.window.around.cards] == ["p150:0"]
    assert opened.window.around.is_here("p150:0")
    opened.close()


def test_a_tool_that_fails_is_told_and_costs_nothing_else(tools: Path, qtbot: QtBot) -> None:
    program(tools, "tt-smi", "echo 'no firmware' >&2; exit 1")
    opened = Application()
    opened.start()
    qtbot.waitUntil(lambda: bool(opened.window.around.problems), timeout=15_000)
    said = [message.text for message in opened.messages.recent]
    assert any("tt-smi ended with status 1: no firmware" in text for text in said)
    assert opened.window.around.is_here("cpu")
    opened.close()


def test_closing_does_not_wait_for_a_tool_that_hangs(tools: Path, qtbot: QtBot) -> None:
    asked = tools / "asked"
    program(tools, "tt-smi", f"touch {asked}; sleep 60")
    opened = Application()
    opened.start()
    qtbot.waitUntil(asked.exists, timeout=15_000)
    began = time.monotonic()
    opened.close()
    assert time.monotonic() - began < 4


def test_a_simulated_chip_is_listed_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sim.so").write_text("")
    (tmp_path / "soc_descriptor.yaml").write_text("arch_name: BLACKHOLE\n")
    monkeypatch.setenv("TT_METAL_SIMULATOR", str(tmp_path / "sim.so"))
    first = device_entries(full_surroundings(), "auto")[0]
    assert (first.key, first.detail) == ("p150:0", "simulated")


def test_what_a_tool_says_is_shown_as_it_is(application: Application) -> None:
    application.messages.post("warning", "tt-smi ended: <b>no</b> chip")
    recent = application.window.bar.open_recent()
    (label,) = (label for label in recent.findChildren(QLabel) if "tt-smi" in label.text())
    assert label.textFormat() == Qt.TextFormat.PlainText
    recent.close()


def test_free_memory_is_taken_over_where_it_makes_a_difference() -> None:
    cpu = Device("cpu", "CPU", "cpu", 1, 8 << 30, 8 << 30, free_bytes=4 << 30)
    gpu = Device("cuda:0", "GPU", "cuda", 1, 8 << 30, 8 << 30, free_bytes=4 << 30)
    around = Surroundings((cpu, gpu))
    assert with_free_memory(around, (4 << 30) + 1) is around
    less = with_free_memory(around, 1 << 30)
    assert [device.free_bytes for device in less.host] == [1 << 30, 4 << 30]
    assert with_free_memory(around, 64 << 30).host[0].free_bytes == 8 << 30
