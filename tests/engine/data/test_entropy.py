"""Losses of different tokenizers meet in bits a character."""

from __future__ import annotations

import math

import pytest

from engine.data.entropy import bits, bits_per_unit, perplexity


def test_a_nat_in_bits() -> None:
    assert bits(math.log(2)) == pytest.approx(1)
    assert bits(math.log(256)) == pytest.approx(8)


def test_uniform_bytes_cost_eight_bits_however_they_are_cut() -> None:
    assert bits_per_unit(math.log(256), 1000, 1000) == pytest.approx(8)
    # Pairs of bytes as tokens: half as many, each with twice the loss.
    assert bits_per_unit(math.log(256**2), 500, 1000) == pytest.approx(8)


@pytest.mark.parametrize(("tokens", "units"), [(1, 0), (-1, 1)])
def test_an_empty_text_has_no_rate(tokens: int, units: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        bits_per_unit(1.0, tokens, units)


def test_perplexity_is_the_number_of_equal_choices() -> None:
    assert perplexity(math.log(65)) == pytest.approx(65)
    assert perplexity(10_000.0) == math.inf
    assert math.isnan(perplexity(math.nan))
