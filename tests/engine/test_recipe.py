"""Proposals against a calibration that can be worked out by hand."""

from __future__ import annotations

import pytest

from engine.cost.calibration import Calibration, Point
from engine.cost.time import flops_per_step
from engine.recipe import affordable_validation_tokens, proposed_run
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec

SPEC = ModelSpec(max_seq_len=64)
RUN = RunSpec(batch_size=16, steps=10_000)


def computer(flops_per_s: float) -> Calibration:
    flops = flops_per_step(SPEC, RUN)
    points = tuple(
        Point(flops // n, flops // n / flops_per_s, 1, "fp32", 2) for n in (32, 16, 8, 4, 2, 1)
    )
    return Calibration(points, {})


def test_as_many_steps_as_fit_the_time() -> None:
    proposed = proposed_run(SPEC, RUN, computer(flops_per_step(SPEC, RUN) * 20), 60)
    assert proposed is not None
    assert proposed.batch_size == 16
    assert proposed.steps == pytest.approx(1200, abs=1)
    assert proposed.validate_every == proposed.steps // 10
    check_run(proposed, SPEC)


def test_a_slow_computer_gets_smaller_batches_first() -> None:
    proposed = proposed_run(SPEC, RUN, computer(flops_per_step(SPEC, RUN) * 2), 60)
    assert proposed is not None
    assert proposed.batch_size == 4
    assert proposed.steps == pytest.approx(480, abs=1)
    check_run(proposed, SPEC)


def test_a_very_slow_computer_gets_what_it_can() -> None:
    proposed = proposed_run(SPEC, RUN, computer(flops_per_step(SPEC, RUN) / 600), 60)
    assert proposed is not None
    assert proposed.batch_size == 1
    assert proposed.steps >= 1
    check_run(proposed, SPEC)


def test_a_fast_computer_gets_no_more_than_was_asked_for() -> None:
    proposed = proposed_run(SPEC, RUN, computer(1e18), 60)
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
