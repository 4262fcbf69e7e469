"""The first start measures this computer, tells how long a run takes, and suits the run to it."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from engine.cost.calibration import load_calibration, save
from tests.computers import computer
from trickster_gui.app import Application


def pretend_speed(application: Application, seconds: float) -> None:
    """Write a calibration in which a step of the present design takes ``seconds``."""
    save(computer(application.document.model, application.document.run, seconds))


@pytest.mark.timeout(330)
def test_the_first_start_measures_for_real_and_suits_the_untouched_design(
    application: Application, qtbot: QtBot
) -> None:
    assert application.window.cost.cost is not None
    application.measure_if_new()
    qtbot.waitUntil(lambda: load_calibration() is not None, timeout=300_000)
    qtbot.waitUntil(lambda: application.window.cost.cost.total_seconds is not None, timeout=10_000)
    seconds = application.window.cost.cost.total_seconds
    assert 0 < seconds.low <= seconds.seconds <= seconds.high
    assert seconds.seconds < 90


def test_the_run_is_suited_by_one_step_of_undo(application: Application) -> None:
    pretend_speed(application, 0.6)
    application._show_calibration()
    before = application.document.run
    application.suit_run()
    assert application.document.run.steps < before.steps
    assert application.document.undo_stack.count() == 1
    application.document.undo_stack.undo()
    assert application.document.run == before


def test_a_design_that_somebody_worked_on_is_left_as_it_is(application: Application) -> None:
    application.document.edit({"num_layers": 3})
    before = application.document.run
    pretend_speed(application, 0.6)
    application._calibrated(None)
    assert application.document.run == before
    assert application.document.undo_stack.count() == 1


def test_suiting_without_a_measurement_offers_one(application: Application) -> None:
    application.suit_run()
    message = application.window.bar.message()
    assert message is not None
    assert message.action_text == "Measure now"
