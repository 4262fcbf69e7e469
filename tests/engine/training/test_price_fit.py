from __future__ import annotations

import statistics

import numpy as np
import pytest

from engine.cost.calibration import MeasuredStep
from engine.cost.experience import cost_of
from engine.cost.step_work import Work, step_work
from engine.training.calibrate import DESIGNS
from engine.training.price_fit import fit_prices, fitted_speed, non_negative_least_squares

# Of a machine that is nothing like the one whose proportions are taken as usual.
TRUE = Work(
    operations=2e-6, shared_operations=1e-5, product_flops=8e-12, product_bytes=2e-10,
    score_blocks=1e-6, scores=2e-9, score_flops=4e-12, element_bytes=1e-10, parameter_bytes=3e-10,
    logit_bytes=2e-10, fresh_bytes=1e-10, random_numbers=2e-9,
)  # fmt: skip
WORKS = [step_work(spec, run) for spec, run in DESIGNS]
STEPS = [MeasuredStep(work, cost_of(work, TRUE)) for work in WORKS]


def test_least_squares_without_a_bound_in_the_way_is_the_solution() -> None:
    matrix = np.array([[1.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
    wanted = matrix @ np.array([0.5, 2.0])
    assert non_negative_least_squares(matrix, wanted) == pytest.approx([0.5, 2.0])


def test_what_would_be_negative_is_zero_and_the_rest_is_fitted_without_it() -> None:
    matrix = np.array([[1.0, 1.0], [1.0, 0.0]])
    found = non_negative_least_squares(matrix, np.array([1.0, 3.0]))
    assert found == pytest.approx([2.0, 0.0])


def test_a_column_of_zeros_gets_a_zero() -> None:
    found = non_negative_least_squares(np.array([[2.0, 0.0]]), np.array([4.0]))
    assert found == pytest.approx([2.0, 0.0])


@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed"])
def test_prices_of_another_kind_of_machine_foretell_its_steps(precision: str) -> None:
    """Also a design that is larger than all that were measured: GPT-2's shape at a third."""
    prices = fit_prices(precision, STEPS)
    assert all(price >= 0 for price in prices)
    for step in STEPS:
        assert cost_of(step.work, prices) == pytest.approx(step.seconds, rel=0.12)
    spec, run = DESIGNS[-2]
    large = step_work(spec.replace(num_layers=12, vocab_size=8_192), run)
    assert cost_of(large, prices) == pytest.approx(cost_of(large, TRUE), rel=0.1)


def test_noise_moves_a_foretold_time_no_more_than_itself() -> None:
    rng = np.random.default_rng(1)
    noisy = [MeasuredStep(s.work, s.seconds * rng.uniform(0.95, 1.05)) for s in STEPS]
    prices = fit_prices("fp32", noisy)
    misses = [abs(cost_of(step.work, prices) / step.seconds - 1) for step in STEPS]
    assert statistics.median(misses) < 0.05


def test_the_spread_is_what_is_missed_of_steps_left_out() -> None:
    even = fitted_speed("fp32", 2, STEPS)
    assert (even.precision, even.threads, even.steps) == ("fp32", 2, tuple(STEPS))
    rng = np.random.default_rng(2)
    noisy = [MeasuredStep(s.work, s.seconds * rng.uniform(0.6, 1.6)) for s in STEPS]
    assert fitted_speed("fp32", 2, noisy).spread > 2 * even.spread
