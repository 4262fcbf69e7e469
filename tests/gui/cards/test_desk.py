"""Choosing a card that cannot train opens its checklist, and no run starts on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from engine.devices.interpreter import remember
from engine.devices.tenstorrent import Discovery
from engine.devices.tenstorrent_boards import PresentCard
from engine.locations import runs_home
from tests.engine.devices import stand_in
from trickster_gui import devices
from trickster_gui.app import Application
from trickster_gui.devices import CARDS

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def is_open(application: Application, device: str) -> bool:
    opened = application.cards.checklist
    return opened is not None and opened.isVisible() and opened.device == device


def test_the_picker_lists_cards_first_with_their_state(
    application: Application, found: Callable[[], None], python: Path
) -> None:
    remember("p150:0", python)
    found()
    QTest.mouseClick(application.window.top.device, Qt.MouseButton.LeftButton)
    opened = application.window.open_list("devices")
    assert opened is not None
    entries = [entry for entry in opened.entries() if not entry.heading]
    assert [(entry.key, entry.section) for entry in entries[:2]] == [
        ("n150:0", CARDS), ("p150:0", CARDS),
    ]  # fmt: skip
    assert entries[0].title == "Wormhole n150 · n150:0"
    assert entries[0].detail == "not ready: 1 thing missing · 46 °C · 23 W"
    assert entries[1].detail == "ready · 46 °C · 23 W"
    assert entries[2].key == "auto"
    opened.close()


def test_choosing_a_card_that_cannot_train_opens_its_list(
    application: Application, found: Callable[[], None]
) -> None:
    found()
    window = application.window
    window.choose_device("n150:0")
    assert application.document.run.device == "n150:0"
    assert is_open(application, "n150:0")
    assert window.top.device.text() == "Wormhole n150 (not ready)"
    assert "no Python 3.10 or 3.12" in window.top.device.toolTip()


def test_choosing_a_card_that_can_train_opens_nothing(
    application: Application, found: Callable[[], None], python: Path
) -> None:
    remember("n150:0", python)
    found()
    application.window.choose_device("n150:0")
    assert application.cards.checklist is None
    assert application.window.top.device.text() == "Wormhole n150"
    document = application.document
    single = document.run.replace(precision="bf16-mixed")
    assert application.cards.may_start(document.model, single)


def test_a_card_is_chosen_with_a_precision_that_it_has(
    application: Application, found: Callable[[], None], python: Path
) -> None:
    remember("n150:0", python)
    found()
    document, window = application.document, application.window
    assert document.run.precision == "fp32"
    window.choose_device("n150:0")
    assert (document.run.device, document.run.precision) == ("n150:0", "bf16-mixed")
    message = window.bar.message()
    assert message is not None
    assert message.text == "Precision is bf16 mixed now: a Tenstorrent card has no fp32."
    QTest.mouseClick(window.bar.action, Qt.MouseButton.LeftButton)
    assert (document.run.device, document.run.precision) == ("auto", "fp32"), "it was one edit"
    document.edit(run={"card_backend": "tt-train"})
    window.choose_device("n150:0")
    assert document.run.precision == "fp32", "tt-train takes any, and says what it computes in"


def test_what_cards_cannot_train_is_said_with_a_button_that_mends_it(
    application: Application, found: Callable[[], None], python: Path
) -> None:
    remember("n150:0", python)
    found()
    application.window.choose_device("n150:0")
    application.document.edit(run={"precision": "fp32"})
    QTest.mouseClick(application.window.monitor.header.train, Qt.MouseButton.LeftButton)
    assert not application.bridge.alive
    assert not list(runs_home().glob("*")), "no run was made"
    message = application.window.bar.message()
    assert message is not None
    assert "it would not be the fp32 that it is called" in message.text
    QTest.mouseClick(application.window.bar.action, Qt.MouseButton.LeftButton)
    document = application.document
    assert document.run.precision == "bf16-mixed"
    assert application.cards.may_start(document.model, document.run)


def test_what_its_memory_does_not_hold_is_said_before_anything_starts(
    application: Application, found: Callable[[], None], python: Path
) -> None:
    remember("n150:0", python)
    found()
    application.window.choose_device("n150:0")
    document = application.document
    document.edit(run={"precision": "bf16-mixed", "batch_size": 32_768})
    assert not application.cards.may_start(document.model, document.run)
    message = application.window.bar.message()
    assert message is not None
    assert "one chip of which has 12.0 GiB" in message.text
    assert message.action is not None
    message.action()
    assert document.run.batch_size < 32_768
    assert application.cards.may_start(document.model, document.run)


def test_train_is_refused_with_the_first_missing_item_and_opens_the_list(
    application: Application, found: Callable[[], None]
) -> None:
    found()
    application.window.choose_device("n150:0")
    assert application.cards.checklist is not None
    application.cards.checklist.close()
    train = application.window.monitor.header.train
    assert train.isEnabled()
    QTest.mouseClick(train, Qt.MouseButton.LeftButton)
    assert is_open(application, "n150:0")
    assert not application.bridge.alive
    assert not list(runs_home().glob("*")), "no run was made"
    message = application.window.bar.message()
    assert message is not None
    assert message.text.startswith("Cannot train on n150:0: no Python 3.10 or 3.12 was found")
    assert message.action_text == "What is missing"


def test_a_card_of_a_design_from_elsewhere_is_checked_when_it_shall_train(
    application: Application, qtbot: QtBot
) -> None:
    application.document.edit(run={"device": "galaxy:0"})
    QTest.keyClick(application.window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert is_open(application, "galaxy:0")
    assert not application.bridge.alive
    state = application.cards.readiness.state
    qtbot.waitUntil(lambda: state("galaxy:0").report is not None, timeout=30_000)
    report = state("galaxy:0").report
    assert report is not None
    assert not report.ready


def test_a_card_that_is_not_here_only_shows_costs_and_offers_the_list(
    application: Application, qtbot: QtBot
) -> None:
    application.window.choose_device("n150")
    assert application.document.run.device == "auto"
    assert application.cards.checklist is None
    assert application.window.bar.action.text() == "What it needs"
    QTest.mouseClick(application.window.bar.action, Qt.MouseButton.LeftButton)
    assert is_open(application, "n150:0")
    state = application.cards.readiness.state
    qtbot.waitUntil(lambda: state("n150:0").report is not None, timeout=30_000)


def test_other_devices_are_none_of_its_business(application: Application) -> None:
    assert application.cards.may_start(
        application.document.model, application.document.run.replace(device="cpu")
    )
    application.cards.open_checklist("cpu")
    assert application.cards.checklist is None


def test_a_refusal_is_past_once_the_card_can_train(
    application: Application, found: Callable[[], None], python: Path, qtbot: QtBot
) -> None:
    found()
    application.window.choose_device("n150:0")
    assert not application.cards.may_start(application.document.model, application.document.run)
    remember("n150:0", python)
    application.cards.readiness.check("n150:0")
    qtbot.waitUntil(
        lambda: not application.cards.readiness.problems().get("n150:0"), timeout=30_000
    )
    assert application.window.bar.message() is None
    assert application.window.top.device.text() == "Wormhole n150"


def test_a_card_that_comes_while_the_window_is_open_is_listed(
    application: Application, cards: tuple[PresentCard, ...], qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its driver was loaded after the window had looked; checking again finds it."""
    assert not application.window.around.is_here("n150:0")
    monkeypatch.setattr(devices, "discover", lambda stop: Discovery(cards))
    application.cards.open_checklist("n150:0")
    qtbot.waitUntil(lambda: application.window.around.is_here("n150:0"), timeout=30_000)
    state = application.cards.readiness.state
    qtbot.waitUntil(lambda: state("p150:0").report is not None, timeout=30_000)
    assert len(application.window.around.cards) == 2


def test_the_list_is_a_command(application: Application, found: Callable[[], None]) -> None:
    command = application.window.commands["card"]
    assert not command.enabled()
    found()
    application.document.edit(run={"device": "p150:0"})
    assert command.enabled()
    command.run()
    assert is_open(application, "p150:0")


# By tt-train


def train_by(application: Application, backend: str, qtbot: QtBot) -> None:
    """Choose what trains on the card; returns when all cards have been checked for it."""
    application.document.edit(run={"card_backend": backend})
    state = application.cards.readiness.state
    names = [card.name for card in application.window.around.cards]
    qtbot.waitUntil(
        lambda: all(state(n, backend).report and not state(n, backend).checking for n in names),
        timeout=30_000,
    )


def test_choosing_another_way_to_train_checks_again_and_says_what_it_lacks(
    application: Application, found: Callable[[], None], python: Path, qtbot: QtBot
) -> None:
    remember("n150:0", python)
    remember("n150:0", python, "tt-train")
    found()
    window, cards = application.window, application.cards
    window.choose_device("n150:0")
    assert window.top.device.text() == "Wormhole n150"
    train_by(application, "tt-train", qtbot)
    assert window.top.device.text() == "Wormhole n150 (not ready)"
    assert "by tt-train: ttml is not installed" in window.top.device.toolTip()
    message = window.bar.message()
    assert message is not None
    assert message.text.startswith("Cannot train on n150:0 by tt-train: ttml is not installed")
    assert cards.checklist is None, "a list that nobody asked for would be in the way"
    QTest.mouseClick(window.bar.action, Qt.MouseButton.LeftButton)
    assert is_open(application, "n150:0")
    assert cards.checklist is not None
    assert cards.checklist.heading.text() == "Training on n150:0 by tt-train · Wormhole n150"
    assert "not yet verified on hardware" in cards.checklist.list.toPlainText()
    application.document.undo_stack.undo()
    assert window.top.device.text() == "Wormhole n150"
    assert window.bar.message() is None


def test_a_run_may_start_by_what_it_names(
    application: Application, found: Callable[[], None], python: Path, qtbot: QtBot
) -> None:
    """Ready for our own graph is not ready for tt-train, and the other way round."""
    remember("n150:0", python)
    found()
    application.window.choose_device("n150:0")
    cards, document = application.cards, application.document
    ours = document.run.replace(precision="bf16-mixed")
    assert cards.may_start(document.model, ours)
    assert not cards.may_start(document.model, ours.replace(card_backend="tt-train"))
    train_by(application, "tt-train", qtbot)
    assert not cards.may_start(document.model, ours.replace(card_backend="tt-train"))
    assert cards.may_start(document.model, ours)


def test_what_tt_train_cannot_train_is_said_with_a_button_that_mends_it(
    application: Application, found: Callable[[], None], tmp_path: Path, qtbot: QtBot
) -> None:
    remember("n150:0", stand_in.python_of_tt_train(tmp_path / "built"), "tt-train")
    found()
    application.window.load_preset("nano-trickster")
    application.document.edit({"vocab_size": 65}, {"device": "n150:0"})
    train_by(application, "tt-train", qtbot)
    document = application.document
    assert not application.cards.may_start(document.model, document.run)
    message = application.window.bar.message()
    assert message is not None
    assert "tt-train's vocabularies are multiples of 32" in message.text
    QTest.mouseClick(application.window.bar.action, Qt.MouseButton.LeftButton)
    assert document.model.vocab_size == 96
    assert application.cards.may_start(document.model, document.run)


def test_choosing_a_card_of_several_chips_says_that_one_trains_and_who_uses_all(
    application: Application, cards: tuple[PresentCard, ...], qtbot: QtBot
) -> None:
    window, document = application.window, application.document
    document.edit(run={"device": "n300:0"})
    window.card_chosen.emit("n300:0")
    message = window.bar.message()
    assert message is not None
    assert "our own graph trains on one of its 2 chips, tt-train on all" in message.text
    assert "not yet verified on hardware" in message.text
    QTest.mouseClick(window.bar.action, Qt.MouseButton.LeftButton)
    assert document.run.card_backend == "tt-train"
    shown = window.bar.message()
    assert shown is None or "of its 2 chips" not in shown.text, "it is past"
    state = application.cards.readiness.state
    for backend in ("ttnn", "tt-train"):
        qtbot.waitUntil(lambda by=backend: state("n300:0", by).report is not None, timeout=30_000)


def test_nothing_is_said_of_chips_where_there_is_one(
    application: Application, found: Callable[[], None], python: Path
) -> None:
    remember("n150:0", python)
    found()
    application.window.choose_device("n150:0")
    message = application.window.bar.message()
    assert message is None or "chips" not in message.text
