"""What doubling one thing does to the costs."""

from __future__ import annotations

import pytest
from hypothesis import given

from engine.cost.doubling import COSTS, doublings
from engine.devices.card import load_cards
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs

N150 = next(card for card in load_cards() if card.name == "n150")


def test_doubling_nano_trickster() -> None:
    rows = {row.name: row.ratios for row in doublings(ModelSpec(), RunSpec())}
    context, hidden, layers = rows["context"], rows["hidden"], rows["layers"]
    assert context is not None
    assert hidden is not None
    assert layers is not None
    assert context["parameters"] == 1.0
    # A sequence: projections, feed-forward and head twice, scores four times (23.3 % of it).
    assert context["flops"] == pytest.approx(2 + 2 * 0.233, abs=0.01)
    assert hidden["parameters"] == pytest.approx(3.97, abs=0.01)
    assert layers["parameters"] == (5_180_672 + 6 * 852_480) / 5_180_672


def test_time_is_told_where_the_speed_is_known() -> None:
    assert "time" not in (doublings(ModelSpec(), RunSpec())[0].ratios or {})
    ratios = doublings(ModelSpec(), RunSpec(), N150)[0].ratios
    assert ratios is not None
    assert tuple(ratios) == COSTS
    assert ratios["time"] == pytest.approx(ratios["flops"])  # a card's rate does not vary


def test_a_sequence_length_of_its_own_is_doubled_too() -> None:
    ratios = doublings(ModelSpec(), RunSpec(seq_len=128))[0].ratios
    assert ratios is not None
    assert ratios["flops"] > 2


def test_what_cannot_be_built_says_so() -> None:
    spec = ModelSpec(num_layers=1_024)
    assert doublings(spec, RunSpec())[2].ratios is None


@given(model_specs())
def test_no_doubling_makes_anything_cheaper(spec: ModelSpec) -> None:
    for row in doublings(spec, RunSpec(), N150):
        assert row.ratios is None or all(ratio >= 1 for ratio in row.ratios.values())
