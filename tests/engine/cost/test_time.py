from __future__ import annotations

from dataclasses import replace

import pytest

from engine.cost.calibration import Calibration, Point
from engine.cost.flops import flops_per_token
from engine.cost.time import (
    Rate,
    compute_optimal_tokens,
    device_rate,
    flops_per_step,
    measured_rate,
    step_time,
    table_rate,
    work_per_batch,
)
from engine.devices.card import Device, load_cards
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

NANO, RUN = ModelSpec(), RunSpec(batch_size=8)
FLOPS = flops_per_step(NANO, RUN)
CARDS = {card.name: card for card in load_cards()}
CPU = Device("cpu", "CPU", "cpu", 1, 1 << 34, 1 << 34)


def calibration(*points: tuple[float, float]) -> Calibration:
    """Points given as (multiple of FLOPS, FLOP/s)."""
    return Calibration(
        tuple(Point(int(FLOPS * size), FLOPS * size / rate, 1, "fp32", 2) for size, rate in points),
        {},
    )


def test_a_step_is_its_tokens_times_flops() -> None:
    assert flops_per_token(NANO, 512).training * 8 * 512 == FLOPS
    assert flops_per_step(NANO, RUN.replace(accumulation_steps=3)) == 3 * FLOPS


def test_time_is_flops_over_rate_with_both_ends() -> None:
    time = step_time(NANO, RUN, Rate(1e11, 5e10, 2e11, "estimate", "a test"))
    assert time.seconds == pytest.approx(FLOPS / 1e11)
    assert (time.low, time.high) == (pytest.approx(FLOPS / 2e11), pytest.approx(FLOPS / 5e10))
    assert time.times(10).seconds == pytest.approx(10 * time.seconds)
    assert time.times(10).kind == "estimate"


def test_checkpointing_takes_about_a_third_longer() -> None:
    rate = Rate(1e11, 1e11, 1e11, "estimate", "")
    ratio = (
        step_time(NANO, RUN.replace(gradient_checkpointing=True), rate).seconds
        / step_time(NANO, RUN, rate).seconds
    )
    assert 1.3 < ratio < 4 / 3


def test_the_rate_is_interpolated_between_measured_sizes() -> None:
    rate = measured_rate(calibration((0.5, 1e10), (2.0, 4e10)), NANO, RUN)
    assert rate is not None
    assert rate.flops_per_s == pytest.approx(2e10)
    assert rate.low < rate.flops_per_s < rate.high
    assert rate.kind == "measured"
    assert "between them" in rate.source


def test_accumulation_does_not_make_a_step_larger_for_the_machine() -> None:
    points = calibration((0.5, 1e10), (2.0, 4e10))
    once = measured_rate(points, NANO, RUN)
    assert measured_rate(points, NANO, RUN.replace(accumulation_steps=8)) == once


@pytest.mark.parametrize(("size", "rate"), [(2.0, 3e10), (0.5, 1e10)])
def test_beyond_the_measured_sizes_the_nearest_rate_holds_with_a_wider_range(
    size: float, rate: float
) -> None:
    outside = measured_rate(calibration((size, rate)), NANO, RUN)
    inside = measured_rate(calibration((1.0, rate)), NANO, RUN)
    assert outside is not None
    assert inside is not None
    assert outside.flops_per_s == pytest.approx(rate)
    assert outside.high / outside.low > inside.high / inside.low
    assert "1 measured training step " in outside.source


def test_equal_sizes_do_not_divide_by_zero() -> None:
    rate = measured_rate(calibration((0.5, 1e10), (0.5, 2e10), (1.0, 2e10)), NANO, RUN)
    assert rate is not None


def dropped(spec: ModelSpec) -> ModelSpec:
    return spec.replace(dropout=0.1)


def test_dropout_makes_scores_slower_on_the_cpu_and_the_time_an_estimate() -> None:
    """At an even rate all sizes take their work: scores count 5.5 times, from 3.3 to 6.7."""
    points = calibration((0.01, 1e10), (100, 1e10))
    plain, slower = (measured_rate(points, spec, RUN) for spec in (NANO, dropped(NANO)))
    assert plain is not None
    assert slower is not None
    parts = flops_per_token(NANO, 512).parts
    share = parts["scores"] / sum(parts.values())
    before, after = step_time(NANO, RUN, plain), step_time(dropped(NANO), RUN, slower)
    assert after.seconds / before.seconds == pytest.approx(1 + 4.5 * share)
    assert after.low / before.low == pytest.approx(1 + 2.3 * share)
    assert after.high / before.high == pytest.approx(1 + 5.7 * share)
    assert (before.kind, after.kind) == ("measured", "estimate")
    assert "dropout" in after.source
    assert "dropout" not in before.source


def test_dropout_costs_nothing_worth_counting_elsewhere() -> None:
    points = replace(calibration((0.01, 1e10), (100, 1e10)), device="cuda:0")
    assert measured_rate(points, dropped(NANO), RUN) == measured_rate(points, NANO, RUN)


def test_a_run_with_dropout_that_was_measured_is_predicted_as_it_was() -> None:
    work = work_per_batch(dropped(NANO), RUN, "cpu")
    points = Calibration((Point(work, 2.5, 1, "fp32", 2),), {})
    rate = measured_rate(points, dropped(NANO), RUN.replace(accumulation_steps=2))
    assert rate is not None
    assert step_time(dropped(NANO), RUN, rate).seconds == pytest.approx(2.5)


def test_no_point_of_this_precision_is_none() -> None:
    assert measured_rate(calibration((1, 1e10)), NANO, RUN.replace(precision="bf16")) is None


def test_cards_are_rated_by_their_table_and_say_so() -> None:
    n150 = table_rate(CARDS["n150"])
    assert n150 is not None
    assert n150.flops_per_s == pytest.approx(0.05 * 74e12)
    assert n150.low < n150.flops_per_s < n150.high
    assert n150.kind == "estimate"
    assert "74 TFLOPS (printed FP16)" in n150.source
    p150 = table_rate(CARDS["p150"])
    assert p150 is not None
    assert p150.flops_per_s == pytest.approx(0.05 * 332e12)
    assert "half of the printed BLOCKFP8" in p150.source


def test_unpublished_figures_give_no_rate() -> None:
    assert table_rate(CARDS["p300c"]) is None
    assert table_rate(CPU) is None


def test_a_calibration_counts_for_its_own_device_only() -> None:
    points = calibration((1.0, 1e10))
    assert device_rate(CPU, points, NANO, RUN) == measured_rate(points, NANO, RUN)
    assert device_rate(replace(CPU, name="cuda:0", kind="cuda"), points, NANO, RUN) is None
    assert device_rate(CPU, None, NANO, RUN) is None
    assert device_rate(CARDS["n150"], points, NANO, RUN) == table_rate(CARDS["n150"])


def test_compute_optimal_tokens() -> None:
    assert compute_optimal_tokens(5_180_672) == 103_613_440
