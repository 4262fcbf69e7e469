"""Proposals against a calibration that can be worked out by hand."""

from __future__ import annotations

import pytest

from engine.cost.calibration import Calibration
from engine.recipe import (
    LEAST_STEPS,
    affordable_validation_tokens,
    predicted_time,
    proposed_run,
)
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec
from tests.computers import computer

SPEC = ModelSpec(max_seq_len=64)
RUN = RunSpec(batch_size=16, steps=10_000)


def doing(steps_a_second: float) -> Calibration:
    """A computer that does so many updates of the design a second, in proportion to tokens."""
    return computer(SPEC, RUN, 1 / steps_a_second)


def _whole_s(run: RunSpec, calibration: Calibration) -> float:
    predicted = predicted_time(SPEC, run, calibration)
    assert predicted is not None
    return predicted.seconds


def test_as_many_steps_as_fit_the_time() -> None:
    proposed = proposed_run(SPEC, RUN, doing(20), 60)
    assert proposed is not None
    assert proposed.batch_size == 16
    assert 1_000 < proposed.steps < 1_200  # room is left for validation and samples
    assert _whole_s(proposed, doing(20)) == pytest.approx(60, rel=0.02)
    assert proposed.validate_every == proposed.steps // 10
    check_run(proposed, SPEC)


def test_a_slow_computer_gets_smaller_batches_first() -> None:
    proposed = proposed_run(SPEC, RUN, doing(2), 60)
    assert proposed is not None
    assert proposed.batch_size == 4
    assert 400 < proposed.steps < 480
    assert _whole_s(proposed, doing(2)) == pytest.approx(60, rel=0.02)
    check_run(proposed, SPEC)


@pytest.mark.parametrize(("typed", "least"), [(16, 4), (5, 4), (4, 4), (3, 3), (1, 1)])
def test_a_very_slow_computer_takes_longer_than_asked_rather_than_teach_nothing(
    typed: int, least: int
) -> None:
    """One sequence a step for a few steps would fit the time and learn nothing at all."""
    slow = doing(1 / 600)
    proposed = proposed_run(SPEC, RUN.replace(batch_size=typed), slow, 60)
    assert proposed is not None
    assert proposed.batch_size == least
    assert proposed.steps == LEAST_STEPS
    check_run(proposed, SPEC)
    predicted = predicted_time(SPEC, proposed, slow)
    assert predicted is not None
    updates = 300 * 600 * least / 16
    assert updates < predicted.seconds < 1.5 * updates
    assert predicted.low < predicted.seconds < predicted.high


def test_no_more_steps_than_were_asked_for_however_slow() -> None:
    slow = doing(1 / 600)
    proposed = proposed_run(SPEC, RUN.replace(steps=20, warmup_steps=2), slow, 60)
    assert proposed is not None
    assert proposed.steps == 20
    check_run(proposed, SPEC)


def test_accumulation_gives_way_before_the_batch() -> None:
    """Twice the tokens a step for nothing but fewer steps; then the batch as it would alone."""
    run = RUN.replace(accumulation_steps=8)
    quick = proposed_run(SPEC, run, doing(8), 60)
    assert quick is not None
    assert (quick.accumulation_steps, quick.batch_size) == (1, 16)
    slow = doing(2)
    assert proposed_run(SPEC, run, slow, 60) == proposed_run(SPEC, RUN, slow, 60)
    fast = proposed_run(SPEC, run, doing(100), 60)
    assert fast is not None
    assert (fast.accumulation_steps, fast.batch_size) == (8, 16)


def test_nothing_is_predicted_where_nothing_was_measured() -> None:
    assert predicted_time(SPEC, RUN, Calibration((), {})) is None


def test_a_fast_computer_gets_no_more_than_was_asked_for() -> None:
    proposed = proposed_run(SPEC, RUN, doing(1e9), 60)
    assert proposed is not None
    assert (proposed.steps, proposed.batch_size) == (10_000, 16)


def test_nothing_measured_nothing_proposed() -> None:
    assert proposed_run(SPEC, RUN, Calibration((), {}), 60) is None


@pytest.mark.parametrize(
    ("training", "expected"), [(1_536_000, 41_890), (1_000, 2_000), (10**9, 120_000)]
)
def test_validation_takes_a_tenth_of_the_time(training: int, expected: int) -> None:
    tokens = affordable_validation_tokens(training)
    assert tokens == expected
    if 2_000 < tokens < 120_000:
        assert 11 * tokens / 3 == pytest.approx(training / 10, rel=0.01)
