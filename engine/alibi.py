"""How much each attention head of ALiBi lowers its scores with distance: plain numbers."""

from __future__ import annotations


def alibi_slopes(num_heads: int) -> tuple[float, ...]:
    """Slope of each head: 2^(-8i/n), i = 1 … n, for n a power of two.

    For other n: the slopes of the next smaller power of two p, then every other slope of 2p
    (Press et al. 2021, https://arxiv.org/abs/2108.12409, and the authors' code).
    """
    power = 1 << (num_heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * i / power) for i in range(1, power + 1)]
    between = [2.0 ** (-8 * i / (2 * power)) for i in range(1, 2 * power + 1, 2)]
    return tuple(slopes + between[: num_heads - power])
