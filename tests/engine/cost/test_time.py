"""Times that can be worked out by hand: from prices, from runs, from a card's table."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from engine.cost.calibration import Calibration, MeasuredStep, RunSpeed, Speed
from engine.cost.card_operations import operations_of_update
from engine.cost.experience import cost_of
from engine.cost.flops import flops_per_token
from engine.cost.step_work import step_work
from engine.cost.time import (
    Estimate,
    Rate,
    compute_optimal_tokens,
    flops_per_step,
    measured_step,
    predicted_step,
    step_time,
    table_rate,
)
from engine.devices.card import Device, load_cards
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.computers import computer, prices

NANO, RUN = ModelSpec(), RunSpec(batch_size=8)
FLOPS = flops_per_step(NANO, RUN)
CARDS = {card.name: card for card in load_cards()}
CPU = Device("cpu", "CPU", "cpu", 1, 1 << 34, 1 << 34)
PRICES = prices(operations=1e-5, shared_operations=4e-5, product_flops=1e-11, element_bytes=1e-10)
SPEED = Speed("fp32", 2, PRICES, 0.05, (MeasuredStep(step_work(NANO, RUN), 100.0),))
HERE = Calibration((SPEED,), {"cores": 4})


def step(spec: ModelSpec, run: RunSpec, calibration: Calibration) -> Estimate:
    """The time, where there is one."""
    found = measured_step(spec, run, calibration)
    assert found is not None
    return found


def after(*runs: tuple[ModelSpec, RunSpec, float]) -> Calibration:
    """The calibration after runs that took so many seconds an update."""
    remembered = (
        RunSpeed(run.precision, 2, MeasuredStep(step_work(spec, run), seconds))
        for spec, run, seconds in runs
    )
    return replace(HERE, runs=tuple(remembered))


def test_a_step_is_its_tokens_times_flops() -> None:
    assert flops_per_token(NANO, 512).training * 8 * 512 == FLOPS
    assert flops_per_step(NANO, RUN.replace(accumulation_steps=3)) == 3 * FLOPS


# On a card


def test_time_is_flops_over_rate_with_both_ends() -> None:
    time = step_time(NANO, RUN, Rate(1e11, 5e10, 2e11, "a test"))
    assert time.seconds == pytest.approx(FLOPS / 1e11)
    assert (time.low, time.high) == (pytest.approx(FLOPS / 2e11), pytest.approx(FLOPS / 5e10))
    assert time.times(10).seconds == pytest.approx(10 * time.seconds)
    assert time.times(10).kind == "estimate"


def test_checkpointing_takes_about_a_third_longer() -> None:
    rate = Rate(1e11, 1e11, 1e11, "")
    ratio = (
        step_time(NANO, RUN.replace(gradient_checkpointing=True), rate).seconds
        / step_time(NANO, RUN, rate).seconds
    )
    assert 1.3 < ratio < 4 / 3


def test_cards_are_rated_by_their_table_and_say_so() -> None:
    n150 = table_rate(CARDS["n150"])
    assert n150 is not None
    assert n150.flops_per_s == pytest.approx(0.05 * 74e12)
    assert n150.low < n150.flops_per_s < n150.high
    assert step_time(NANO, RUN, n150).kind == "estimate"
    assert "74 TFLOPS (printed FP16)" in n150.source
    p150 = table_rate(CARDS["p150"])
    assert p150 is not None
    assert p150.flops_per_s == pytest.approx(0.05 * 332e12)
    assert "half of the printed BLOCKFP8" in p150.source


def test_unpublished_figures_give_no_rate() -> None:
    assert table_rate(CARDS["p300c"]) is None
    assert table_rate(CPU) is None


# On this computer


def test_a_step_is_the_sum_of_its_work_at_its_prices() -> None:
    time = step(NANO, RUN, HERE)
    assert time.seconds == pytest.approx(cost_of(step_work(NANO, RUN), PRICES))
    assert time.kind == "measured"
    assert time.source == "1 small design measured on this computer"


def test_no_prices_in_this_precision_is_none() -> None:
    assert measured_step(NANO, RUN.replace(precision="bf16"), HERE) is None
    assert measured_step(NANO, RUN, Calibration((), {})) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"num_layers": 7}, {"hidden_dim": 512}, {"mlp_dim": 1_024}, {"vocab_size": 1_024},
        {"max_seq_len": 1_024}, {"dropout": 0.1},
    ],
)  # fmt: skip
def test_more_takes_longer(changes: dict[str, float]) -> None:
    assert step(NANO.replace(**changes), RUN, HERE).seconds > step(NANO, RUN, HERE).seconds


def test_accumulation_takes_as_many_times_without_the_update() -> None:
    once, thrice = (step(NANO, RUN.replace(accumulation_steps=n), HERE).seconds for n in (1, 3))
    assert 2.5 * once < thrice < 3 * once


def test_the_range_comes_from_what_calibration_missed() -> None:
    """ln(high ÷ seconds) is 3.2 times the typical miss, and never below 0.08."""
    for spread, width in ((0.05, 0.16), (0.2, 0.64), (0.0, 0.08)):
        time = step(NANO, RUN, replace(HERE, speeds=(replace(SPEED, spread=spread),)))
        assert math.log(time.high / time.seconds) == pytest.approx(width)
        assert math.log(time.seconds / time.low) == pytest.approx(width)


def test_beyond_the_largest_measured_step_the_range_widens() -> None:
    seconds = step(NANO, RUN, HERE).seconds
    small = replace(SPEED, steps=(MeasuredStep(SPEED.prices, seconds / math.e**2),))
    time = step(NANO, RUN, replace(HERE, speeds=(small,)))
    assert math.log(time.high / time.seconds) == pytest.approx(0.16 + 2 * 0.05)
    assert time.seconds == seconds
    assert "larger" in time.source
    assert time.kind == "measured"


def test_an_optimizer_that_was_not_measured_makes_it_an_estimate() -> None:
    known, unknown = (step(NANO, RUN.replace(optimizer=o), HERE) for o in ("adamw", "new"))
    assert (known.kind, unknown.kind) == ("measured", "estimate")
    assert unknown.high / unknown.low > known.high / known.low
    assert "new was not measured" in unknown.source


def test_a_disturbed_calibration_is_surely_an_estimate() -> None:
    disturbed = replace(HERE, speeds=(replace(SPEED, contested=0.5),))
    time = step(NANO, RUN, disturbed)
    assert time.kind == "estimate"
    assert math.log(time.high / time.low) == pytest.approx(2 * (0.16 + math.log(1.5)))
    assert "other programs" in time.source
    hardly = replace(HERE, speeds=(replace(SPEED, contested=0.05),))
    assert step(NANO, RUN, hardly) == step(NANO, RUN, HERE)


def test_other_threads_share_the_work_but_not_the_launching() -> None:
    work = step_work(NANO, RUN)
    launching = work.operations * 1e-5
    shared = cost_of(work, PRICES._replace(operations=0.0, shared_operations=0.0))
    waking = work.shared_operations * 4e-5
    four, one = (step(NANO, RUN.replace(threads=n), HERE) for n in (4, 1))
    assert four.seconds == pytest.approx(launching + waking + shared / 2**0.9)
    assert one.seconds == pytest.approx(0.4 * launching + 2**0.9 * shared), "nobody to wake"
    assert four.kind == one.kind == "estimate"
    assert four.high / four.low > step(NANO, RUN, HERE).high / step(NANO, RUN, HERE).low
    assert "measured with 2 threads" in one.source


def test_more_threads_than_cores_are_no_faster() -> None:
    assert step(NANO, RUN.replace(threads=64), HERE) == step(NANO, RUN.replace(threads=4), HERE)


def test_a_trained_design_is_predicted_as_it_was() -> None:
    time = step(NANO, RUN, after((NANO, RUN, 7.5)))
    assert time.seconds == 7.5
    assert (time.kind, time.source) == ("measured", "1 run of this very design on this computer")
    assert time.high / time.low < step(NANO, RUN, HERE).high / step(NANO, RUN, HERE).low


def test_similar_designs_are_drawn_towards_it_and_are_surer() -> None:
    similar = NANO.replace(num_layers=7)
    plain = step(similar, RUN, HERE)
    drawn = step(similar, RUN, after((NANO, RUN, 1.3 * step(NANO, RUN, HERE).seconds)))
    assert 1.1 < drawn.seconds / plain.seconds < 1.3
    assert drawn.high / drawn.low < plain.high / plain.low
    assert "drawn towards 1 similar run" in drawn.source


def test_runs_with_other_threads_teach_nothing() -> None:
    known = after((NANO, RUN, 7.5))
    assert step(NANO, RUN.replace(threads=1), known) == step(NANO, RUN.replace(threads=1), HERE)


def test_a_calibration_counts_for_its_own_device_only() -> None:
    points = computer(NANO, RUN, 2.0)
    time = predicted_step(NANO, RUN, CPU, points)
    assert time is not None
    assert time.seconds == pytest.approx(2.0)
    assert predicted_step(NANO, RUN, replace(CPU, name="cuda:0", kind="cuda"), points) is None
    assert predicted_step(NANO, RUN, CPU, None) is None
    n150 = table_rate(CARDS["n150"])
    assert n150 is not None
    by_tt_train = RUN.replace(card_backend="tt-train")
    assert predicted_step(NANO, by_tt_train, CARDS["n150"], points) == step_time(NANO, RUN, n150)
    assert predicted_step(NANO, RUN, CARDS["p300c"], points) is None


def test_on_a_card_the_host_holds_small_models_up() -> None:
    n150, run = CARDS["n150"], RUN.replace(precision="bf16-mixed", batch_size=1)
    rate = table_rate(n150)
    assert rate is not None
    assert n150.host_operation_s == (15e-6, 30e-6, 60e-6)
    number, computing = operations_of_update(NANO, run), step_time(NANO, run, rate)
    found = predicted_step(NANO, run, n150, None)
    assert found is not None
    assert found.seconds > computing.seconds
    assert found.seconds == pytest.approx(30e-6 * number)
    assert found.low == pytest.approx(15e-6 * number)
    assert found.high == pytest.approx(max(60e-6 * number, computing.high))
    assert f"{number:,} operations a step" in found.source
    large = run.replace(batch_size=4096)
    assert predicted_step(NANO, large, n150, None) == step_time(NANO, large, rate)


def test_compute_optimal_tokens() -> None:
    assert compute_optimal_tokens(5_180_672) == 103_613_440
