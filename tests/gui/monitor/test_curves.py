"""Smoothing, decimation, ranges and traces: the mathematics of the chart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gui.monitor.synthetic_run import scene
from trickster_gui.monitor.columns import Columns
from trickster_gui.monitor.decimation import BLOCK, Envelope, index_near, visible
from trickster_gui.monitor.history import History
from trickster_gui.monitor.ranges import coarse_end, coarse_range
from trickster_gui.monitor.smoothing import Memory, MovingAverage
from trickster_gui.monitor.traces import Traces
from trickster_gui.monitor.verdicts import broken_numbers, rising_validation


def plain_average(values: list[float], beta: float) -> list[float]:
    """The definition, one value after the other."""
    total = weight = 0.0
    result = []
    for value in values:
        finite = math.isfinite(value)
        total = beta * total + (1 - beta) * (value if finite else 0.0)
        weight = beta * weight + (1 - beta) * finite
        result.append(total / weight if weight else math.nan)
    return result


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=300),
    st.sampled_from([0.0, 0.5, 0.9, 0.98, 0.999]),
    st.integers(1, 299),
)
def test_the_average_is_its_definition(values: list[float], beta: float, cut: int) -> None:
    average = MovingAverage(beta, Memory())
    average.update(np.array(values[:cut]))
    found = average.update(np.array(values))
    assert found == pytest.approx(plain_average(values, beta), rel=1e-9, abs=1e-6, nan_ok=True)


def test_the_average_of_a_long_series() -> None:
    values = np.random.default_rng(1).normal(2.0, 0.3, 40_000)
    found = MovingAverage(0.99, Memory()).update(values)
    assert found == pytest.approx(plain_average(values.tolist(), 0.99), rel=1e-9)


def test_a_constant_has_no_start_bias() -> None:
    found = MovingAverage(0.999, Memory()).update(np.full(1_000, 5.5))
    assert found == pytest.approx(np.full(1_000, 5.5))


@given(st.integers(0, 12_000), st.integers(1, 900), st.floats(0, 1), st.floats(0.01, 1))
def test_no_extreme_is_lost(n: int, columns: int, at: float, width: float) -> None:
    rng = np.random.default_rng(n)
    x, y = np.cumsum(rng.uniform(0.1, 1.0, n)), rng.normal(size=n)
    end = float(x[-1]) if n else 1.0
    edges = np.linspace(at * end, (at + width) * end, columns + 1)
    drawn_x, drawn_y = visible(x, y, edges, Envelope())
    assert len(drawn_x) == len(drawn_y) <= 2 * columns + 2
    assert (np.diff(drawn_x) >= 0).all()
    inside = y[(x >= edges[0]) & (x <= edges[-1])]
    if len(inside):
        assert drawn_y.max() >= inside.max()
        assert drawn_y.min() <= inside.min()


def test_a_spike_in_a_million_is_drawn() -> None:
    y = np.ones(1_000_000)
    y[777_777] = 9.0
    x, envelope = np.arange(1e6), Envelope()
    drawn_x, drawn_y = visible(x, y, np.linspace(0, 1e6, 801), envelope)
    assert len(drawn_x) <= 1_602
    assert drawn_y.max() == 9.0
    assert abs(drawn_x[drawn_y.argmax()] - 777_777) <= 1e6 / 800 + BLOCK


def test_a_gap_stays_a_gap() -> None:
    y = np.ones(10_000)
    y[4_000:6_000] = math.nan
    drawn_x, drawn_y = visible(np.arange(10_000.0), y, np.linspace(0, 10_000, 101))
    gap = (drawn_x > 4_100) & (drawn_x < 5_800)
    assert gap.any()
    assert np.isnan(drawn_y[gap]).all()


def test_envelopes_grow_with_their_series() -> None:
    y = np.random.default_rng(0).normal(size=1_000)
    grown = Envelope()
    for length in (10, 64, 65, 700, 1_000):
        low, high = grown.update(y[:length])
    whole_low, whole_high = Envelope().update(y)
    assert np.array_equal(low, whole_low)
    assert np.array_equal(high, whole_high)
    assert high[3] == y[192:256].max()


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50), st.floats(-1e9, 1e9))
def test_the_nearest_point(values: list[float], target: float) -> None:
    x = np.sort(np.array(values))
    assert abs(x[index_near(x, target)] - target) == np.abs(x - target).min()


def test_views_of_columns_survive_growth() -> None:
    columns = Columns(("a", "b"))
    columns.extend(np.array([[1.0, 2.0]]))
    before = columns.column("b")
    columns.extend(np.ones((10_000, 2)))
    assert before.tolist() == [2.0]
    assert len(columns) == 10_001


@given(st.floats(0, 1e12), st.none() | st.floats(1, 1e12))
def test_the_axis_always_reaches_the_last_point(last: float, total: float | None) -> None:
    assert coarse_end(last, total) >= last * (1 - 1e-9)


def test_the_axis_jumps_seldom() -> None:
    ends = [coarse_end(step, 2_000) for step in range(2_001)]
    assert sorted(set(ends)) == [10, 20, 50, 100, 200, 500, 1_000, 2_000]


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(-1e6, 1e6), st.floats(0.1, 1e6))
def test_a_range_holds_its_values(low: float, span: float, at: float, width: float) -> None:
    for current in (None, (at, at + width)):
        found = coarse_range(low, low + span, current)
        assert found[0] <= low + 1e-6
        assert found[1] >= low + span - 1e-6
        assert coarse_range(low, low + span, found)[0] <= low + 1e-6


def test_a_range_stays_while_values_move_within_it() -> None:
    first = coarse_range(1.9, 5.6, None)
    assert coarse_range(2.1, 5.5, first) is first


def traces(name: str) -> Traces:
    history = History()
    history.add(scene(name))
    return Traces(history, 0.9)


EDGES = np.linspace(0, 2_000, 5_000)


def test_segments_are_lines_of_their_own_and_never_a_zigzag() -> None:
    rewound = traces("rewound")
    x, y = rewound.line("loss", "step", EDGES)
    assert (np.diff(x) >= 0).all()
    assert np.isnan(y).sum() == 1
    assert x[np.isnan(y)] == [501]
    old_x, _ = rewound.abandoned("step", EDGES)
    assert (old_x[0], old_x[-1]) == (500, 1_100)


def test_the_average_goes_on_across_a_resume() -> None:
    rewound = traces("rewound")
    losses = np.concatenate([
        rewound.history.segments[0].steps.column("loss")[:500],
        rewound.history.segments[1].steps.column("loss"),
    ])  # fmt: skip
    _, smoothed = rewound.line("smoothed", "step", EDGES)
    known = smoothed[np.isfinite(smoothed)]
    assert known == pytest.approx(plain_average(losses.tolist(), 0.9), rel=1e-9)


def test_other_x_axes() -> None:
    late = traces("late")
    reading = late.at("step", 900)
    assert reading is not None
    by_tokens = late.at("tokens", reading.tokens)
    assert by_tokens is not None
    assert by_tokens.step == reading.step
    assert late.total_x("tokens") == 2_000 * 6_144
    assert late.total_x("seconds") is None
    x, _ = late.line("loss", "seconds", np.linspace(0, 1e4, 5_000))
    assert x[-1] == pytest.approx(1_420 * 0.12)


def test_a_reading_names_the_last_validation_before_it() -> None:
    reading = traces("late").at("step", 799)
    assert reading is not None
    assert (reading.step, reading.validation_step) == (799, 600)
    assert traces("preparing").at("step", 5) is None


def test_verdicts() -> None:
    assert rising_validation(traces("late").history) is None
    verdict = rising_validation(traces("overfit").history)
    assert verdict is not None
    assert verdict.startswith("Overfitting since step 800")
    assert broken_numbers(traces("late").history) is None
    assert "diverged" in (broken_numbers(traces("failed").history) or "")
