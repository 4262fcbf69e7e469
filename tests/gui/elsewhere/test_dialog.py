"""Going on elsewhere as a person does it: the real window, real runs, real workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from engine.devices.interpreter import remember
from engine.events import Started, Step
from engine.run_directory import RunDirectory, read_json
from tests.engine.backends.tenstorrent import numpy_worker
from tests.engine.devices import stand_in
from tests.engine.training.tiny import events
from tests.gui.elsewhere.conftest import Show
from trickster_gui.app import Application
from trickster_gui.elsewhere.dialog import ElsewhereDialog
from trickster_gui.theme import Choice

# The offscreen platform says so whenever a list or a dialog is placed.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def click(widget: QWidget) -> None:
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)


def texts(dialog: ElsewhereDialog) -> list[str]:
    return [line.text.text() for line in dialog.findings.lines if line.isVisible()]


def help_button(dialog: ElsewhereDialog, words: str) -> QPushButton:
    (found,) = (
        line.button
        for line in dialog.findings.lines
        if line.isVisible() and line.button.text() == words
    )
    return found


def contents(directory: RunDirectory) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.path.rglob("*") if path.is_file()}


def until_gone(run: RunDirectory, qtbot: QtBot) -> None:
    """The window looks after a worker until it is gone."""
    worker = int(read_json(run.worker_file)["pid"])
    qtbot.waitUntil(lambda: not psutil.pid_exists(worker), timeout=20_000)


def test_it_begins_with_what_the_run_has(show: Show) -> None:
    dialog = show()
    assert dialog.wanted == dialog.ended.run
    assert dialog.about.text() == "“run” was trained on CPU in fp32"
    assert dialog.device_note.text() == "where it trained until now"
    assert dialog.precision.choice() == "fp32"
    assert dialog.steps.text() == "10"
    assert dialog.steps_note.text() == "6 done · 4 to go"
    assert texts(dialog) == ["It can go on from step 6: 4 more steps on CPU in fp32."]
    assert dialog.go.isEnabled()
    assert not dialog.trainer.isEnabled(), "only cards have several"


@pytest.mark.timeout(120)
def test_a_run_goes_on_in_another_precision(
    application: Application, show: Show, ended: RunDirectory, qtbot: QtBot
) -> None:
    dialog, bridge = show(), application.bridge
    click(dialog.precision.button("bf16-mixed"))
    assert texts(dialog) == ["Asking torch whether it can train on CPU in bf16 mixed…"]
    assert not dialog.go.isEnabled()
    qtbot.waitUntil(dialog.go.isEnabled, timeout=60_000)
    before = ended.record().run
    click(dialog.go)
    assert not dialog.isVisible()
    assert bridge.alive
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=60_000)
    first, second = events(ended, Started)
    assert (first.precision, first.step) == ("fp32", 0)
    assert (second.precision, second.step, second.device) == ("bf16-mixed", 6, "cpu")
    assert [step.step for step in events(ended, Step)] == list(range(1, 11))
    assert ended.record().run == before.replace(precision="bf16-mixed")
    qtbot.waitUntil(lambda: application.window.monitor.history.step == 10, timeout=10_000)
    assert "cpu, bf16-mixed" in application.window.monitor.header.detail.text()
    until_gone(ended, qtbot)


@pytest.mark.timeout(120)
def test_a_card_that_is_not_here_is_refused_with_its_checklist(
    application: Application, show: Show, ended: RunDirectory, qtbot: QtBot
) -> None:
    dialog = show()
    before = contents(ended)
    click(dialog.device)
    devices = dialog.open_list()
    assert devices is not None
    sections = [entry.title for entry in devices.entries() if entry.heading]
    assert sections == ["In this computer", "Not here"]
    QTest.keyClicks(devices.field, "n150")
    QTest.keyClick(devices.field, Qt.Key.Key_Return)
    assert dialog.wanted.device == "n150:0"
    assert texts(dialog)[0] == "Checking n150:0: this takes some seconds…"
    state = application.cards.readiness.state
    qtbot.waitUntil(lambda: state("n150:0").report is not None, timeout=60_000)
    assert dialog.device.text() == "Wormhole n150 · n150:0"
    assert dialog.device_note.text() == "not in this computer"
    assert texts(dialog)[0].startswith("Cannot train on n150:0: ")
    assert not dialog.go.isEnabled()
    assert dialog.go.toolTip() == texts(dialog)[0]
    click(help_button(dialog, "What is missing"))
    checklist = application.cards.checklist
    assert checklist is not None
    assert checklist.isVisible()
    assert (checklist.device, checklist.backend) == ("n150:0", "ttnn")
    click(dialog.trainer.button("tt-train"))
    qtbot.waitUntil(lambda: state("n150:0", "tt-train").report is not None, timeout=60_000)
    assert texts(dialog)[0].startswith("Cannot train on n150:0 by tt-train: ")
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()
    assert contents(ended) == before
    assert not application.bridge.alive


def test_fp32_on_a_card_is_mended_by_one_click(
    application: Application, found: Callable[[], None], show: Show, python: Path
) -> None:
    remember("n150:0", python)
    found()
    dialog = show()
    dialog.choose_device("n150:0")
    (text,) = texts(dialog)
    assert text.startswith("Precision: a Tenstorrent card multiplies matrices in 19 bits at most")
    assert not dialog.go.isEnabled()
    click(help_button(dialog, "Use bf16 mixed"))
    assert dialog.precision.choice() == "bf16-mixed"
    assert QApplication.focusWidget() is dialog.precision.button("bf16-mixed")
    assert texts(dialog) == [
        "It can go on from step 6: 4 more steps on n150:0 by ttnn in bf16 mixed.",
        "Training on cards is not yet verified on hardware.",
    ]
    assert dialog.go.isEnabled()


@pytest.mark.timeout(120)
def test_a_run_goes_on_on_a_card(
    application: Application, found: Callable[[], None], show: Show, ended: RunDirectory,
    tmp_path: Path, qtbot: QtBot,
) -> None:  # fmt: skip
    worker = numpy_worker.command("rounded")
    remember("n150:0", stand_in.python(tmp_path / "python", worker=worker))
    found()
    dialog, bridge = show(), application.bridge
    dialog.choose_device("n150:0")
    click(help_button(dialog, "Use bf16 mixed"))
    click(dialog.go)
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=60_000)
    assert [(event.device, event.precision, event.step) for event in events(ended, Started)] == [
        ("cpu", "fp32", 0), ("n150:0", "bf16-mixed", 6),
    ]  # fmt: skip
    until_gone(ended, qtbot)


def test_a_card_of_this_computer_that_lacks_something_shows_its_list_at_once(
    application: Application, found: Callable[[], None], show: Show
) -> None:
    found()
    dialog = show()
    dialog.choose_device("p150:0")
    checklist = application.cards.checklist
    assert checklist is not None
    assert checklist.isVisible()
    assert checklist.device == "p150:0"


def test_steps_are_typed_stepped_refused_and_mended(show: Show) -> None:
    dialog = show()
    dialog.steps.setFocus()
    dialog.steps.selectAll()
    QTest.keyClicks(dialog.steps, "6")
    QTest.keyClick(dialog.steps, Qt.Key.Key_Return)
    assert texts(dialog) == ["Steps: 6 steps are done already: ask for more than 6"]
    assert dialog.isVisible(), "Return takes the value and starts nothing"
    click(help_button(dialog, "Use 12"))
    assert dialog.steps.text() == "12"
    assert dialog.steps.hasFocus()
    dialog.steps.selectAll()
    QTest.keyClicks(dialog.steps, "many")
    QTest.keyClick(dialog.steps, Qt.Key.Key_Return)
    assert texts(dialog)[0].startswith("Steps in all: ")
    assert not dialog.go.isEnabled()
    QTest.keyClick(dialog.steps, Qt.Key.Key_Escape)
    assert dialog.steps.text() == "12"
    QTest.keyClick(dialog.steps, Qt.Key.Key_Up)
    assert dialog.wanted.steps == 50
    assert dialog.go.isEnabled()


def test_everything_is_reached_by_keyboard_and_has_a_name(show: Show) -> None:
    dialog = show()
    assert QApplication.focusWidget() is dialog.device
    QTest.keyClick(dialog.device, Qt.Key.Key_Space)
    opened = dialog.open_list()
    assert opened is not None
    QTest.keyClick(opened.field, Qt.Key.Key_Escape)
    reached = []
    for _ in range(12):
        widget = QApplication.focusWidget()
        assert widget is not None
        if widget in reached:
            break
        assert widget.accessibleName()
        reached.append(widget)
        QTest.keyClick(widget, Qt.Key.Key_Tab)
    assert {dialog.device, dialog.steps, dialog.cancel, dialog.go} <= set(reached)
    assert any(widget in dialog.precision.buttons() for widget in reached)


def test_nothing_jumps_when_something_is_said(
    application: Application, found: Callable[[], None], show: Show
) -> None:
    found()
    dialog = show()
    before = dialog.size()
    dialog.choose_device("p150:0")
    QApplication.processEvents()
    assert texts(dialog)
    assert dialog.size() == before


def test_three_findings_have_room_in_both_themes(
    application: Application, show: Show, ended: RunDirectory, qtbot: QtBot
) -> None:
    record = ended.record()
    spec = record.model.replace(hidden_dim=48, num_heads=2)
    ended.write_record(replace(record, model=spec))
    dialog = show()
    dialog.choose_device("n150:0")
    state = application.cards.readiness.state
    qtbot.waitUntil(lambda: state("n150:0").report is not None, timeout=60_000)
    assert len(texts(dialog)) == 3
    themes: tuple[Choice, ...] = ("light", "dark")
    for theme in themes:
        application.themes.choose(theme)
        QApplication.processEvents()
        for line in dialog.findings.lines:
            assert line.text.height() >= line.text.heightForWidth(line.text.width())
            assert line.button.width() >= line.button.sizeHint().width()
            assert dialog.findings.rect().contains(line.geometry())
        for widget in (dialog.device, dialog.steps, dialog.cancel, dialog.go):
            assert widget.height() >= widget.sizeHint().height()


def test_a_run_that_lives_is_not_offered_and_closes_the_dialog(
    application: Application, show: Show, ended: RunDirectory, qtbot: QtBot
) -> None:
    dialog, bridge = show(), application.bridge
    command = application.window.commands["elsewhere"]
    assert command.enabled()
    bridge.resume(ended.path)
    qtbot.waitUntil(lambda: bridge.state in ("preparing", "running"), timeout=10_000)
    assert not dialog.isVisible()
    assert not command.enabled()
    application.elsewhere.open()
    assert application.elsewhere.dialog is None
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=60_000)
    until_gone(ended, qtbot)


def test_a_run_whose_record_is_damaged_is_told_of(
    application: Application, show: Show, ended: RunDirectory, qtbot: QtBot
) -> None:
    show()
    application.elsewhere.close()
    ended.run_file.write_text("{}")
    application.elsewhere.open()
    bar = application.window.bar
    qtbot.waitUntil(lambda: "cannot be gone on with" in bar.text.text(), timeout=10_000)
    assert application.elsewhere.dialog is None
