"""How a decoder knows the order of tokens: added vectors, rotations, or lowered scores.

Nothing here is learned or kept in a checkpoint: every table is computed from the spec for just
the positions that are asked for, in fp32, once for all layers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.spec import ModelSpec

YARN_FAST_ROTATIONS, YARN_SLOW_ROTATIONS = 32.0, 1.0
LLAMA3_LOW_FREQ_FACTOR, LLAMA3_HIGH_FREQ_FACTOR = 1.0, 4.0


def sinusoidal_table(positions_T: Tensor, width: int) -> Tensor:
    """Vectors added to the embeddings: (T, width), fp32.

    Feature 2i is sin(p / 10000^(2i/width)) and 2i+1 its cosine (Vaswani et al. 2017, section 3.5,
    https://arxiv.org/abs/1706.03762).
    """
    even = torch.arange(0, width, 2, device=positions_T.device, dtype=torch.float32)
    angles = positions_T[:, None] * torch.exp(even * (-math.log(10_000.0) / width))
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def rope_frequencies(spec: ModelSpec) -> tuple[float, ...]:
    """Radians a token for each of the h/2 pairs of features, after the spec's scaling.

    Unscaled: theta^(-2i/h) (Su et al. 2021, RoFormer, https://arxiv.org/abs/2104.09864).
    Linear: positions divided by the factor (Chen et al. 2023, https://arxiv.org/abs/2306.15595).
    NTK-aware: the base times factor^(h/(h-2)), so that the slowest pair is stretched by the whole
    factor and the fastest not at all (bloc97 2023; Peng et al. 2023, section 3.1).
    """
    h, factor = spec.head_size, spec.rope_factor
    base = spec.rope_theta
    if spec.rope_scaling == "ntk" and h > 2:  # one pair alone turns at speed 1 whatever the base
        base *= factor ** (h / (h - 2))
    plain = [base ** (-2 * i / h) for i in range(h // 2)]
    if spec.rope_scaling == "linear":
        return tuple(frequency / factor for frequency in plain)
    if spec.rope_scaling == "yarn":
        return _yarn(plain, spec)
    if spec.rope_scaling == "llama3":
        return tuple(_llama3(frequency, factor, spec.original_seq_len) for frequency in plain)
    return tuple(plain)


def rope_attention_factor(spec: ModelSpec) -> float:
    """What queries and keys are each multiplied by: YaRN's 0.1·ln(factor) + 1, otherwise 1.

    Peng et al. 2023, equation 22: the temperature of the softmax, folded into the rotation.
    """
    return 0.1 * math.log(spec.rope_factor) + 1.0 if spec.rope_scaling == "yarn" else 1.0


def yarn_ramp_bounds(spec: ModelSpec) -> tuple[int, int]:
    """Pairs between which YaRN goes from unstretched to stretched (may lie outside 0 … h/2).

    The pair that turns n times within the original context has index
    h·ln(context / 2πn) / (2·ln theta); the bounds are those of 32 and 1 turns, rounded outwards.
    """
    log_base = max(math.log(spec.rope_theta), 1e-9)

    def pair_turning(times: float) -> float:
        turns = spec.original_seq_len / (2 * math.pi * times)
        return spec.head_size * math.log(turns) / (2 * log_base)

    return (
        math.floor(pair_turning(YARN_FAST_ROTATIONS)),
        math.ceil(pair_turning(YARN_SLOW_ROTATIONS)),
    )


def _yarn(plain: list[float], spec: ModelSpec) -> tuple[float, ...]:
    """Peng et al. 2023 (https://arxiv.org/abs/2309.00071), "NTK-by-parts".

    The ramp is linear in the pair's index, as in the authors' code and in published YaRN models
    (the paper's equation 18 is linear in the number of turns).
    """
    last = spec.head_size - 1
    low, high = (min(max(bound, 0), last) for bound in yarn_ramp_bounds(spec))
    width = max(high - low, 1e-3)

    def stretched(i: int) -> float:
        return min(max((i - low) / width, 0.0), 1.0)

    return tuple(
        frequency * (1 - stretched(i)) + frequency / spec.rope_factor * stretched(i)
        for i, frequency in enumerate(plain)
    )


def _llama3(frequency: float, factor: float, original_seq_len: int) -> float:
    """Llama 3.1's rule (Dubey et al. 2024, https://arxiv.org/abs/2407.21783, and its code).

    Pairs with 4 or more turns within the original context stay, those with at most 1 are
    stretched, those between are mixed in proportion to their turns.
    """
    turns = original_seq_len * frequency / (2 * math.pi)
    low, high = LLAMA3_LOW_FREQ_FACTOR, LLAMA3_HIGH_FREQ_FACTOR
    kept = min(max((turns - low) / (high - low), 0.0), 1.0)
    return kept * frequency + (1 - kept) * frequency / factor


def rotation_table(
    positions_T: Tensor, spec: ModelSpec, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position's angles: two tensors (T, 1, h/2)."""
    frequencies = torch.tensor(
        rope_frequencies(spec), device=positions_T.device, dtype=torch.float32
    )
    angles = (positions_T[:, None] * frequencies)[:, None, :]
    factor = rope_attention_factor(spec)
    return (angles.cos() * factor).to(dtype), (angles.sin() * factor).to(dtype)


def rotate(x_BTHh: Tensor, cos_T1k: Tensor, sin_T1k: Tensor) -> Tensor:
    """Turn each pair of features (i, i + h/2) by its angle, as in published Llama checkpoints.

    Keeps nothing for the backward pass but the two tables.
    """
    a, b = x_BTHh.chunk(2, dim=-1)
    return torch.cat((a * cos_T1k - b * sin_T1k, b * cos_T1k + a * sin_T1k), dim=-1)


def alibi_slopes(num_heads: int) -> tuple[float, ...]:
    """Slope of each head: 2^(-8i/n), i = 1 … n, for n a power of two.

    For other n: the slopes of the next smaller power of two p, then every other slope of 2p
    (Press et al. 2021, https://arxiv.org/abs/2108.12409, and the authors' code).
    """
    power = 1 << (num_heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * i / power) for i in range(1, power + 1)]
    between = [2.0 ** (-8 * i / (2 * power)) for i in range(1, 2 * power + 1, 2)]
    return tuple(slopes + between[: num_heads - power])


def alibi_bias(positions_T: Tensor, positions_S: Tensor, num_heads: int) -> Tensor:
    """What is added to the scores: -slope · distance, and -∞ ahead: (H, T, S), fp32."""
    slopes_H = torch.tensor(alibi_slopes(num_heads), device=positions_T.device)
    distance_TS = positions_T[:, None] - positions_S[None, :]
    bias_HTS = -slopes_H[:, None, None] * distance_TS
    return bias_HTS.masked_fill(distance_TS < 0, -math.inf)
