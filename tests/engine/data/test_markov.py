"""The test text really has the entropy that other tests hold results against."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.engine.data.markov import MarkovChain


def test_a_chain_worked_out_by_hand() -> None:
    # From a always to b or a with 1/2; from b always back to a: stationary 2/3, 1/3.
    chain = MarkovChain(np.array([[0.5, 0.5], [1.0, 0.0]]))
    assert chain.stationary() == pytest.approx([2 / 3, 1 / 3])
    assert chain.entropy_rate() == pytest.approx(2 / 3 * math.log(2))
    assert chain.letter_entropy() == pytest.approx(math.log(3) - 2 / 3 * math.log(2))
    assert "bb" not in chain.text(1000)


@pytest.mark.parametrize("seed", range(3))
def test_sequences_follow_the_transitions(seed: int) -> None:
    chain = MarkovChain.random(5, seed=seed)
    ids = chain.ids(100_000, seed=seed)
    pairs = np.zeros((5, 5))
    np.add.at(pairs, (ids[:-1], ids[1:]), 1)
    expected = chain.stationary()[:, None] * chain.transitions * (len(ids) - 1)
    # Chi-squared over 25 dependent cells: far below what any wrong transition would give.
    assert ((pairs - expected) ** 2 / expected).sum() < 70
    assert chain.entropy_rate() < chain.letter_entropy() < math.log(5)


def test_the_same_seed_gives_the_same_text() -> None:
    chain = MarkovChain.random(8)
    assert chain.text(100, seed=1) == chain.text(100, seed=1) != chain.text(100, seed=2)
    assert set(chain.text(5000)) == set(chain.alphabet)
