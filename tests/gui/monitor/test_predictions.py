"""What a run took beside what it was predicted to take."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from engine.events import Event, Finished, Started
from tests.gui.monitor.synthetic_run import TOKENS_PER_STEP, scene
from trickster_gui.monitor.history import History
from trickster_gui.monitor.predictions import Compared, beyond_range, peak_memory, step_time
from trickster_gui.monitor.readings import UNKNOWN, peak, speeds


def history(
    name: str, predicted: dict[str, float] | None = None, measured: dict[str, float] | None = None
) -> History:
    """A run in one of its states, its record changed in what it foretold and what it found."""
    events: list[Event] = []
    for event in scene(name):
        if isinstance(event, Started) and predicted is not None:
            event = replace(event, predicted=predicted)
        if isinstance(event, Finished) and measured is not None:
            event = replace(event, measured=measured)
        events.append(event)
    found = History()
    found.add(events)
    return found


RANGE = {"peak_bytes": 4e7, "step_s": 0.1, "step_s_low": 0.08, "step_s_high": 0.11}


def test_a_live_run_is_measured_by_its_last_steps() -> None:
    live = history("late")
    memory, step = peak_memory(live), step_time(live)
    assert memory.measured == int(41.3 * 2**20)
    assert memory.predicted == pytest.approx(39.2 * 2**20)
    assert step.measured == pytest.approx(0.12, rel=0.05)
    speed = live.tokens_per_s()
    assert speed is not None
    assert step.measured == TOKENS_PER_STEP / speed


def test_a_finished_run_is_measured_by_its_record() -> None:
    ended = history("finished", RANGE, {"peak_bytes": 4.4e7, "step_s": 0.105})
    assert peak_memory(ended) == Compared(4.4e7, 4e7)
    assert step_time(ended) == Compared(0.105, 0.1, 0.08, 0.11)
    assert peak_memory(ended).ratio == pytest.approx(1.1)


def test_an_older_record_falls_back_on_its_last_steps() -> None:
    ended = history("finished")
    assert peak_memory(ended).measured == int(41.3 * 2**20)
    assert step_time(ended).measured == pytest.approx(0.12, rel=0.05)
    assert step_time(ended).low is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_numbers_that_mean_nothing_are_left_out(bad: float) -> None:
    ended = history("finished", {"peak_bytes": bad, "step_s": bad}, {"step_s": bad})
    assert step_time(ended).predicted is None
    assert peak_memory(ended).ratio is None
    assert step_time(ended).measured == pytest.approx(0.12, rel=0.05)


def test_before_a_run_nothing_is_known() -> None:
    assert peak_memory(History()) == step_time(History()) == Compared()
    assert beyond_range(History(), live=False) == ""
    assert peak(Compared()) == (UNKNOWN, "", "")
    assert speeds(Compared(), 0) == (UNKNOWN, "", "")


def test_measured_beside_predicted_in_words() -> None:
    assert peak(Compared(40_120_000, 40_000_000)) == (
        "38.3 MiB", "· 38.1 MiB, +0.3 %", "40,120,000 bytes, predicted 40,000,000 bytes, +0.3 %",
    )  # fmt: skip
    assert speeds(Compared(0.2, 0.1, 0.08, 0.12), 1_000) == (
        "5.00 K", "· 10.0 K, -50 %",
        "5.00 K: 0.20 s a step, predicted 0.10 s (80 ms to 0.12 s), -50 %",
    )  # fmt: skip
    assert peak(Compared(40_120_000)) == ("38.3 MiB", "", "40,120,000 bytes")
    assert peak(Compared(None, 40_000_000)) == (
        UNKNOWN, "· 38.1 MiB", "predicted 40,000,000 bytes",
    )  # fmt: skip


def test_outside_the_range_is_said_without_a_reason() -> None:
    slow = history("finished", RANGE, {"step_s": 0.15})
    assert beyond_range(slow, live=False) == (
        "A step took 0.15 s, 50 % longer than predicted and outside the predicted range of 80 ms "
        "to 0.11 s."
    )
    fast = history("finished", RANGE, {"step_s": 0.05})
    assert "50 % less than predicted" in beyond_range(fast, live=False)
    assert beyond_range(history("late", RANGE), live=True).startswith("A step takes 0.12 s, ")


def test_inside_the_range_or_without_one_nothing_is_said() -> None:
    assert beyond_range(history("finished", RANGE, {"step_s": 0.11}), live=False) == ""
    assert beyond_range(history("finished", None, {"step_s": 9.0}), live=False) == ""


def test_the_first_steps_are_not_held_against_the_prediction() -> None:
    narrow = {"step_s": 0.01, "step_s_low": 0.009, "step_s_high": 0.011}
    early = History()
    early.add([e for e in scene("early") if getattr(e, "step", 0) <= 12])
    assert early.started is not None
    early.started = replace(early.started, predicted=narrow)
    assert step_time(early).outside == "above"
    assert beyond_range(early, live=True) == ""
    assert beyond_range(history("early", narrow), live=True) != ""
