"""What doubling one thing does to the costs."""

from __future__ import annotations

import pytest

from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.cost.what_if import doublings, ratio_text


def test_doubling_nano_trickster() -> None:
    rows = {row.name: row.ratios for row in doublings(ModelSpec(), RunSpec())}
    context, hidden, layers = rows["context"], rows["hidden"], rows["layers"]
    assert context is not None
    assert hidden is not None
    assert layers is not None
    assert context[0] == 1.0
    # A sequence: projections, feed-forward and head twice, scores four times (23.3 % of it).
    assert context[1] == pytest.approx(2 + 2 * 0.233, abs=0.01)
    assert hidden[0] == pytest.approx(3.97, abs=0.01)
    assert layers[0] == (5_180_672 + 6 * 852_480) / 5_180_672


def test_a_sequence_length_of_its_own_is_doubled_too() -> None:
    ratios = doublings(ModelSpec(), RunSpec(seq_len=128))[0].ratios
    assert ratios is not None
    assert ratios[1] > 2


def test_what_cannot_be_built_says_so() -> None:
    spec = ModelSpec(num_layers=1_024)
    assert doublings(spec, RunSpec())[2].ratios is None


@pytest.mark.parametrize(("ratio", "text"), [(1.0, "× 1.00"), (3.667, "× 3.67"), (512.3, "× 512")])
def test_ratios(ratio: float, text: str) -> None:
    assert ratio_text(ratio) == text
