"""A computer with cards, made of files, and the window on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from engine.devices import interpreter, preflight
from engine.devices.tenstorrent_boards import PresentCard, boards_of
from engine.devices.tenstorrent_sysfs import driver_readings
from tests.engine.devices import stand_in
from tests.engine.devices.recorded import device, driver_tree
from trickster_gui.app import Application


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python with everything that a worker for a card needs."""
    return stand_in.python(tmp_path / "python")


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[PresentCard, ...]:
    """An n150 and a p150, with all that they need of the computer. No interpreter is found."""
    places = stand_in.ready_places(tmp_path / "machine")
    (places.device_files / "1").write_text("")
    root = driver_tree(tmp_path / "both", {0: device("n150", "a1", 1), 1: device("p150b", "b2", 2)})
    places = dataclasses.replace(places, driver_class=root)
    monkeypatch.setattr(preflight, "Places", lambda: places)
    monkeypatch.setattr(interpreter, "candidates", lambda: ())
    monkeypatch.setattr(interpreter, "own_environment", lambda: tmp_path / "environment")
    return boards_of(driver_readings(root))


@pytest.fixture
def found(
    application: Application, cards: tuple[PresentCard, ...], qtbot: QtBot
) -> Callable[[], None]:
    """Lets the window find the cards; returns when all have been checked."""

    def find() -> None:
        # This computer's own listing, which has no cards, must not come after these.
        background = application.bridge._background
        qtbot.waitUntil(lambda: all(task._over for task in background._tasks), timeout=30_000)
        around = dataclasses.replace(application.window.around, cards=cards)
        application._cards_listed(around)
        state = application.cards.readiness.state
        qtbot.waitUntil(
            lambda: all(
                state(card.name).report and not state(card.name).checking for card in cards
            ),
            timeout=30_000,
        )

    return find
