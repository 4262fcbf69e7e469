from __future__ import annotations

import math
from dataclasses import replace

import pytest

from engine.cost.calibration import MeasuredStep
from engine.cost.experience import MOST, Drawn, cost_of, experience, lessons
from engine.cost.step_work import step_work
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.computers import prices

NANO, RUN = ModelSpec(), RunSpec(batch_size=8)
WORK = step_work(NANO, RUN)
PRICES = prices(product_flops=1e-11, element_bytes=1e-10)
NEAR = step_work(NANO.replace(num_layers=7), RUN)
FAR = step_work(NANO.replace(hidden_dim=64, num_layers=1, max_seq_len=64), RUN)


def taking(work: object, times: float) -> MeasuredStep:
    """A run that took ``times`` what its work is priced at."""
    assert isinstance(work, type(WORK))
    return MeasuredStep(work, times * cost_of(work, PRICES))


def test_a_cost_is_the_sum_of_amounts_times_prices() -> None:
    expected = WORK.product_flops * 1e-11 + WORK.element_bytes * 1e-10
    assert cost_of(WORK, PRICES) == pytest.approx(expected)


def test_without_runs_nothing_is_drawn() -> None:
    assert experience(WORK, ()) == Drawn()


def test_a_design_that_was_trained_takes_what_it_took() -> None:
    drawn = experience(WORK, lessons([taking(WORK, 3.0), taking(NEAR, 1.0)], PRICES))
    assert drawn.same
    assert drawn.seconds == pytest.approx(3 * cost_of(WORK, PRICES))
    assert drawn.number == 1


def test_one_run_on_a_busy_machine_is_outvoted() -> None:
    """Of two the faster one counts, of three the middle one."""
    for times in ([1.0, 9.0], [9.0, 1.0], [9.0, 1.0, 0.9]):
        drawn = experience(WORK, lessons([taking(WORK, t) for t in times], PRICES))
        assert drawn.seconds == pytest.approx(cost_of(WORK, PRICES))
        assert drawn.spread > 1


def test_similar_designs_are_drawn_towards_a_run_and_distant_ones_are_not() -> None:
    known = lessons([taking(WORK, 1.3)], PRICES)
    near, far = experience(NEAR, known), experience(FAR, known)
    assert 0 < near.shift < math.log(1.3)
    assert near.shift > 0.4 * math.log(1.3)
    assert not near.same
    assert far == Drawn()


def test_agreeing_runs_weigh_more_than_one() -> None:
    one = experience(NEAR, lessons([taking(WORK, 1.3)], PRICES))
    many = experience(NEAR, lessons([taking(WORK, 1.3)] * 4, PRICES))
    assert one.shift < many.shift < math.log(1.3)


def test_no_run_draws_others_by_more_than_is_allowed() -> None:
    for times in (100.0, 0.01):
        drawn = experience(NEAR, lessons([taking(WORK, times)] * 50, PRICES))
        assert math.log(MOST) * 0.9 < abs(drawn.shift) < math.log(MOST)


def test_a_run_that_was_as_foretold_changes_nothing() -> None:
    drawn = experience(NEAR, lessons([taking(WORK, 1.0)], PRICES))
    assert drawn.shift == pytest.approx(0)
    assert drawn.nearness > 0.5


def test_places_are_compared_by_logarithms() -> None:
    """Twice as much of everything is about ln 2 away, wherever one stands."""
    twice = replace(taking(WORK, 1.0), work=WORK._make(2 * amount for amount in WORK))
    distance = math.dist(twice.place, taking(WORK, 1.0).place)
    assert 0.5 < distance < math.log(2)
