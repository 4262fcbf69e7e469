"""The numbers behind the monitor: segments, clocks, rates, hostile records."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import (
    Failed,
    Finished,
    Paused,
    Preparing,
    Resumed,
    Step,
    Validation,
    Warned,
)
from tests.gui.monitor.synthetic_run import TOKENS_PER_STEP, scene, started
from trickster_gui.monitor.history import MAX_SEGMENTS, History

T0 = 1_000.0


def step(number: int, time: float, loss: float = 1.0) -> Step:
    return Step(number, number * TOKENS_PER_STEP, loss, 1e-3, 0.5, 0.1, 5e4, 1 << 20, time)


def test_steps_become_columns_in_any_batches() -> None:
    events = [started(0, 100, time=T0), *(step(n, T0 + n, 1 / n) for n in range(1, 101))]
    at_once, piecemeal = History(), History()
    at_once.add(events)
    for event in events:
        piecemeal.add([event])
    for name in at_once.segments[0].steps.names:
        one, other = (h.segments[0].steps.column(name) for h in (at_once, piecemeal))
        assert np.array_equal(one, other)
    assert at_once.step == 100
    assert at_once.segments[0].steps.column("seconds")[-1] == 100.0


def test_a_rewound_run_has_a_live_line_and_an_abandoned_stretch() -> None:
    history = History()
    history.add(scene("rewound"))
    first, second = history.segments
    assert (first.start_step, second.start_step) == (0, 500)
    assert first.live_steps() == 500
    assert len(first.steps) == 1_100
    assert second.live_steps() == len(second.steps) == 800
    assert history.validations("step").tolist() == [0, 200, 400, 600, 800, 1000, 1200, 1300]


def test_the_best_validation_of_an_abandoned_stretch_does_not_count() -> None:
    history = History()
    history.add(
        [started(0, 100), Validation(50, 1, 3.0, 10, True), Validation(80, 2, 1.0, 10, True)]
    )
    assert history.best is not None
    assert (history.best.step, history.best.loss) == (80, 1.0)
    history.add([started(60, 100, 1)])
    assert (history.best.step, history.best.loss) == (50, 3.0)


def test_samples_of_an_abandoned_stretch_go() -> None:
    history = History()
    history.add(scene("rewound"))
    steps = [sample.step for sample in history.samples.of("def ")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 1_300


def test_pauses_and_nights_are_not_time_of_work() -> None:
    history = History()
    history.add([started(0, 100, time=T0), step(1, T0 + 1), Paused(1, T0 + 2)])
    assert history.elapsed_s(T0 + 500) == pytest.approx(2.0)
    history.add([Resumed(1, T0 + 1_002), step(2, T0 + 1_003)])
    assert history.segments[0].steps.column("seconds").tolist() == pytest.approx([1.0, 3.0])
    history.add([started(1, 100, 1, T0 + 90_000), step(2, T0 + 90_004)])
    assert history.segments[1].steps.column("seconds").tolist() == pytest.approx([5.0])


def test_time_left_is_unknown_until_this_session_has_a_speed() -> None:
    history = History()
    history.add([started(0, 100, time=T0), *(step(n, T0 + 10 * n) for n in range(1, 51))])
    assert history.remaining_s() == pytest.approx(500.0)
    history.add([started(50, 100, 1, T0 + 9_000), step(51, T0 + 9_001), step(52, T0 + 9_002)])
    assert history.remaining_s() is None
    history.add([step(53, T0 + 9_003)])
    assert history.remaining_s() == pytest.approx(47.0)


def test_epoch_memory_and_totals() -> None:
    history = History()
    history.add(scene("finished"))
    assert history.epoch() == pytest.approx(2_000 * TOKENS_PER_STEP / 2_900_000)
    assert history.memory_bytes() == int(41.3 * 2**20)
    assert history.total_steps == 2_000
    assert isinstance(history.finished, Finished)


def test_a_new_attempt_forgets_how_the_last_one_ended() -> None:
    history = History()
    history.add([started(0, 10), Failed("it broke"), Preparing("Reading")])
    assert history.failed is None
    history.add([started(0, 10, 1)])
    assert history.preparing is None


def test_a_step_that_jumps_back_begins_a_segment_of_its_own() -> None:
    history = History()
    history.add([started(0, 10), step(1, T0), step(2, T0), step(3, T0), step(2, T0), step(3, T0)])
    assert [len(segment.steps) for segment in history.segments] == [3, 2]
    assert history.segments[0].live_steps() == 1


def test_a_record_of_nothing_but_jumps_is_bounded() -> None:
    history = History()
    history.add([step(5, T0) for _ in range(3 * MAX_SEGMENTS)])
    assert len(history.segments) == MAX_SEGMENTS
    assert history.ignored == 2 * MAX_SEGMENTS


@pytest.mark.parametrize("number", [-1, 2**53 + 2, 10**400])
def test_steps_out_of_all_reason_are_ignored(number: int) -> None:
    history = History()
    history.add([started(0, 10), Step(number, 0, 1.0, 1.0, 1.0, 1.0, 1.0, None, T0), step(1, T0)])
    history.add([Validation(number, 0, 1.0, 1, True)])
    assert history.step_count() == 1
    assert history.ignored == 2


def test_the_number_of_warnings_kept_is_bounded() -> None:
    history = History()
    history.add([Warned(str(number)) for number in range(2_000)])
    assert len(history.warnings) == 1_000
    assert history.warnings[-1].message == "1999"


_losses = st.floats(allow_nan=True, allow_infinity=True)
_events = st.one_of(
    st.builds(step, st.integers(-5, 60), st.floats(0, 1e10), _losses),
    st.builds(started, st.integers(0, 50), st.integers(0, 100)),
    st.builds(
        Validation,
        st.integers(-1, 60),
        st.integers(0, 10**20),
        _losses,
        st.integers(),
        st.booleans(),
    ),
    st.builds(Paused, st.integers(), st.floats(0, 1e10)),
    st.builds(Resumed, st.integers(), st.floats(0, 1e10)),
)


@given(st.lists(st.lists(_events, max_size=20), max_size=6))
def test_any_record_gives_ascending_columns(batches: list[list[object]]) -> None:
    history = History()
    for batch in batches:
        history.add(batch)  # type: ignore[arg-type]
    for segment in history.segments:
        for columns in (segment.steps, segment.validations):
            for name in ("step", "tokens", "seconds"):
                assert (np.diff(columns.column(name)) >= 0).all()
        assert (np.diff(segment.steps.column("step")) > 0).all()
    assert (np.diff(history.validations("step")) >= 0).all()
    remaining = history.remaining_s()
    assert remaining is None or remaining >= 0
    best = history.best
    finite = history.validations("loss")[~np.isnan(history.validations("loss"))]
    assert best is None or best.loss == finite.min() or math.isinf(best.loss)
