"""Random numbers that depend on a seed and a counter and nothing else.

Philox 4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") is a keyed
function of a counter. Only its raw 64-bit output is used, which numpy promises never to change;
``Generator.integers`` carries no such promise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_WORD = 1 << 64
# Second half of the key: sets these numbers apart from others that a run may draw with its seed.
_PURPOSE = 0x7472_6169_6E69_6E67  # "training"


def offsets_below(
    bound: int, count: int, seed: int, step: int, micro: int
) -> npt.NDArray[np.int64]:
    """``count`` numbers, each uniform over 0 … bound - 1, that depend on all arguments alone.

    ``seed``, ``step`` and ``micro`` are integers from 0 to 2⁶⁴ - 1; ``bound`` is at most 2⁶³.
    """
    if not all(0 <= number < _WORD for number in (seed, step, micro)):
        raise ValueError("seed, step and micro-batch must be from 0 to 2^64 - 1")
    # The generator counts in the first word, so draws of different steps never meet.
    source = np.random.Philox(
        counter=np.array([0, micro, step, 0], dtype=np.uint64),
        key=np.array([seed, _PURPOSE], dtype=np.uint64),
    )
    return uniform_below(bound, count, source.random_raw)


def uniform_below(
    bound: int, count: int, draw: Callable[[int], npt.NDArray[np.uint64]]
) -> npt.NDArray[np.int64]:
    """``count`` numbers, exactly uniform over 0 … bound - 1, from uniform 64-bit words.

    A plain remainder would favour small numbers, because 2⁶⁴ is no multiple of ``bound``: words
    from the last, incomplete round are thrown away and drawn again.
    """
    if not 1 <= bound <= _WORD // 2:
        raise ValueError("the bound must be from 1 to 2^63")
    largest = np.uint64(_WORD - _WORD % bound - 1)
    accepted = np.empty(0, dtype=np.uint64)
    while len(accepted) < count:
        words = draw(count - len(accepted))
        accepted = np.concatenate([accepted, words[words <= largest]])
    remainders: npt.NDArray[np.uint64] = accepted % np.uint64(bound)
    return remainders.astype(np.int64)
