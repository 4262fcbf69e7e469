"""Learning rates against values worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.run_spec import RunSpec
from engine.schedule import learning_rate

RUN = RunSpec(steps=110, warmup_steps=10, learning_rate=1e-3, min_lr_ratio=0.1)


def test_warm_up_is_a_straight_line_to_the_peak() -> None:
    assert [learning_rate(RUN, step) for step in (0, 4, 9)] == pytest.approx([1e-4, 5e-4, 1e-3])


def test_cosine_starts_at_the_peak_and_ends_at_the_final_ratio() -> None:
    assert learning_rate(RUN, 10) == pytest.approx(1e-3)
    assert learning_rate(RUN, 109) == pytest.approx(1e-4)
    middle = RUN.replace(steps=111)
    assert learning_rate(middle, 60) == pytest.approx((1e-3 + 1e-4) / 2)
    quarter = 1e-4 + 9e-4 * 0.5 * (1 + math.cos(math.pi / 4))
    assert learning_rate(middle, 35) == pytest.approx(quarter)


def test_constant_stays_at_the_peak() -> None:
    run = RUN.replace(schedule="constant")
    assert [learning_rate(run, step) for step in (4, 10, 109)] == pytest.approx([5e-4, 1e-3, 1e-3])


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert learning_rate(RUN.replace(warmup_steps=0), 0) == RUN.learning_rate


@given(
    steps=st.integers(1, 10_000),
    warmup=st.integers(0, 10_000),
    ratio=st.floats(0, 1),
    schedule=st.sampled_from(["cosine", "constant"]),
    data=st.data(),
)
def test_is_never_zero_in_warm_up_nor_outside_its_bounds(
    steps: int, warmup: int, ratio: float, schedule: str, data: st.DataObject
) -> None:
    run = RunSpec(
        steps=steps, warmup_steps=min(warmup, steps), min_lr_ratio=ratio, schedule=schedule
    )
    step = data.draw(st.integers(0, steps - 1))
    rate = learning_rate(run, step)
    assert rate <= run.learning_rate * (1 + 1e-12)
    if step < run.warmup_steps:
        assert rate > 0
    else:
        assert rate >= run.learning_rate * ratio * (1 - 1e-12)
        if step + 1 < steps:
            assert learning_rate(run, step + 1) <= rate * (1 + 1e-12)
