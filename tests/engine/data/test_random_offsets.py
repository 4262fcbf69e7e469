"""Random places are exact, uniform, and the same everywhere and for ever."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.random_offsets import _PURPOSE, offsets_below, uniform_below

WORDS = st.integers(0, 2**64 - 1)

_MASK = 2**64 - 1


def _philox_4x64_10(counter: list[int], key: list[int]) -> list[int]:
    """The generator as its paper defines it, in Python's integers."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        first, second = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
        a, b, c, d = (
            (second >> 64) ^ b ^ k0,
            second & _MASK,
            (first >> 64) ^ d ^ k1,
            first & _MASK,
        )
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & _MASK, (k1 + 0xBB67AE8584CAA73B) & _MASK
    return [a, b, c, d]


def test_our_own_philox_gives_the_published_answers() -> None:
    """Known answers of the Random123 library that came with the paper."""
    assert _philox_4x64_10([0] * 4, [0] * 2) == [
        0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B,
    ]  # fmt: skip
    assert _philox_4x64_10([_MASK] * 4, [_MASK] * 2) == [
        0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0,
    ]  # fmt: skip


@given(WORDS, WORDS, WORDS, st.integers(1, 10))
def test_offsets_are_philox_of_step_and_micro_batch(
    seed: int, step: int, micro: int, count: int
) -> None:
    words: list[int] = []
    for block in range(1, 4):  # numpy counts before it draws
        words += _philox_4x64_10([block, micro, step, 0], [seed, _PURPOSE])
    # A power of two divides 2^64, so no word is ever drawn again.
    assert offsets_below(2**40, count, seed, step, micro).tolist() == [
        word % 2**40 for word in words[:count]
    ]


def test_these_numbers_never_change() -> None:
    """A change here would give every run that is resumed other data than before."""
    assert offsets_below(1_003_790, 4, 1337, 0, 0).tolist() == FIRST
    assert offsets_below(1_003_790, 4, 1337, 1, 0).tolist() == NEXT_STEP
    assert offsets_below(1_003_790, 4, 1337, 0, 1).tolist() == NEXT_MICRO


FIRST = [677138, 571128, 146132, 187493]
NEXT_STEP = [407689, 49614, 999235, 171573]
NEXT_MICRO = [340458, 164944, 679178, 747739]


def _from(words: list[int]) -> Callable[[int], npt.NDArray[np.uint64]]:
    queue = list(words)

    def draw(count: int) -> npt.NDArray[np.uint64]:
        taken, queue[:count] = queue[:count], []
        return np.array(taken, dtype=np.uint64)

    return draw


def test_words_of_the_last_incomplete_round_are_drawn_again() -> None:
    # 2^64 = 6148914691236517205 x 3 + 1: only the very last word is one too many for 3.
    words = [_MASK, _MASK - 1, _MASK, 5, 7]
    assert uniform_below(3, 3, _from(words)).tolist() == [(_MASK - 1) % 3, 5 % 3, 7 % 3]
    # Of 2^63 - 1, 2^64 holds two rounds and two words more.
    bound = 2**63 - 1
    words = [2 * bound - 1, 2 * bound, 2 * bound + 1, 3]
    assert uniform_below(bound, 2, _from(words)).tolist() == [bound - 1, 3]


@given(st.integers(1, 2**63), st.lists(WORDS, min_size=1, max_size=20))
def test_accepted_words_split_into_equal_rounds(bound: int, words: list[int]) -> None:
    accepted = [word for word in words if word < 2**64 // bound * bound]
    drawn = uniform_below(bound, len(accepted), _from(words)) if accepted else []
    assert list(drawn) == [word % bound for word in accepted]


@pytest.mark.parametrize("bound", [0, -1, 2**63 + 1])
def test_impossible_bounds_are_refused(bound: int) -> None:
    with pytest.raises(ValueError, match="bound"):
        uniform_below(bound, 1, _from([1]))


@pytest.mark.parametrize("numbers", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (2**64, 0, 0)])
def test_impossible_counters_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="from 0 to"):
        offsets_below(10, 1, *numbers)


@pytest.mark.parametrize("bound", [1, 2, 3, 7, 64, 1000])
def test_offsets_are_uniform_over_steps(bound: int) -> None:
    drawn = np.concatenate([offsets_below(bound, 50, 1, step, 0) for step in range(1000)])
    counts = np.bincount(drawn, minlength=bound)
    assert len(counts) == bound
    expected = len(drawn) / bound
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    # Mean bound - 1, standard deviation sqrt(2 (bound - 1)): six of them never happen by chance.
    assert chi_squared <= bound - 1 + 6 * np.sqrt(2 * (bound - 1))


def test_steps_micro_batches_and_seeds_draw_independently() -> None:
    first = offsets_below(1000, 20_000, 1, 0, 0)
    for other in (
        offsets_below(1000, 20_000, 1, 1, 0),
        offsets_below(1000, 20_000, 1, 0, 1),
        offsets_below(1000, 20_000, 2, 0, 0),
    ):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.04
        assert abs(np.corrcoef(first[1:], other[:-1])[0, 1]) < 0.04
