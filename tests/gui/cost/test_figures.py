"""Compute and time in words."""

from __future__ import annotations

import pytest

from engine.cost.evaluation import evaluate
from engine.cost.time import Estimate
from engine.devices.card import load_cards
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.cost.figures import (
    inference_figure,
    part_figures,
    range_text,
    size_figures,
    time_lines,
    token_figure,
)

NANO, RUN = ModelSpec(), RunSpec()
COST = evaluate(NANO, RUN, ())
CARDS = {card.name: card for card in load_cards()}


def test_split_of_training_flops_of_nano_trickster() -> None:
    shares = {part: figure.value for part, figure in part_figures(COST).items()}
    assert shares == {
        "projections": "23.3 %", "scores": "23.3 %", "mlp": "52.4 %", "head": "1.0 %",
    }  # fmt: skip
    assert "half of them" in part_figures(COST)["scores"].meaning


def test_exact_numbers_are_there_to_copy() -> None:
    figures = size_figures(NANO, RUN, COST)
    assert figures["KV cache a token"].exact == str(2 * 6 * 8 * 32 * 2)
    assert figures["KV at full context"].value == "3.00 MiB"
    assert int(figures["Training a token"].exact) == COST.flops.training
    assert f"{COST.flops.training:,}" in figures["Training a token"].meaning


def test_weights_in_every_number_format() -> None:
    assert inference_figure(COST, "bf16").exact == str(2 * 5_180_672)
    assert inference_figure(COST, "nf4").exact == str(COST.inference_bytes["nf4"])


def test_tokens_beside_the_compute_optimal_ones() -> None:
    figure = token_figure(COST)
    assert figure.value == "12.3 M / 104 M"
    assert "103,613,440" in figure.meaning


def test_a_time_is_an_estimate_with_its_range() -> None:
    total = Estimate(180.0, 120.0, 300.0, "measured", "3 steps")
    assert time_lines(CARDS["n150"], total, False)[:2] == ("≈ 3 min", "estimate, 2–5 min")


def test_what_is_not_known_says_so() -> None:
    cpu = CARDS["n150"].__class__("cpu", "CPU", "cpu", 1, 1, 1)
    assert time_lines(CARDS["p300c"], None, False)[0] == "not published"
    assert time_lines(cpu, None, True)[0] == "measuring…"
    assert time_lines(cpu, None, False)[0] == "not measured"
    assert time_lines(None, None, False)[0] == "no device"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (120, 300, "2–5 min"),
        (45, 150, "45 s – 2.5 min"),
        (60, 61, "1 min"),
        (0.02, 0.05, "20–50 ms"),
        (1.6e-5, 2.2e-4, "16–220 µs"),
        (0.2, 3.0, "0.2–3 s"),
        (86_400 * 3, 86_400 * 400, "3–400 d"),
        (3.2e7 * 5, 1e16, "5.1 – over a million years"),
    ],
)
def test_ranges_of_time(low: float, high: float, text: str) -> None:
    assert range_text(low, high) == text
