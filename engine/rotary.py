"""How fast each pair of features turns under RoPE, unscaled and stretched: plain numbers.

Used by the models, by exports and by whatever draws or explains rotations.
"""

from __future__ import annotations

import math

from engine.spec import ModelSpec

YARN_FAST_ROTATIONS, YARN_SLOW_ROTATIONS = 32.0, 1.0
LLAMA3_LOW_FREQ_FACTOR, LLAMA3_HIGH_FREQ_FACTOR = 1.0, 4.0


def rope_frequencies(spec: ModelSpec) -> tuple[float, ...]:
    """Radians a token for each of the h/2 pairs of features, after the spec's scaling.

    Unscaled: theta^(-2i/h) (Su et al. 2021, RoFormer, https://arxiv.org/abs/2104.09864).
    Linear: positions divided by the factor (Chen et al. 2023, https://arxiv.org/abs/2306.15595).
    NTK-aware: the base times factor^(h/(h-2)), so that the slowest pair is stretched by the whole
    factor and the fastest not at all (bloc97 2023; Peng et al. 2023, section 3.1).
    """
    h, factor = spec.head_size, spec.rope_factor
    base = ntk_base(spec) if spec.rope_scaling == "ntk" else spec.rope_theta
    plain = [base ** (-2 * i / h) for i in range(h // 2)]
    if spec.rope_scaling == "linear":
        return tuple(frequency / factor for frequency in plain)
    if spec.rope_scaling == "yarn":
        return _yarn(plain, spec)
    if spec.rope_scaling == "llama3":
        return tuple(_llama3(frequency, factor, spec.original_seq_len) for frequency in plain)
    return tuple(plain)


def ntk_base(spec: ModelSpec) -> float:
    """RoPE's base after NTK-aware scaling."""
    h = spec.head_size
    if h == 2:  # a single pair turns at speed 1 whatever the base
        return spec.rope_theta
    return float(spec.rope_theta * spec.rope_factor ** (h / (h - 2)))


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
    first, last = yarn_ramp_bounds(spec)
    low, high = max(first, 0), min(last, spec.head_size - 1)

    def stretched(i: int) -> float:
        if high <= low:  # no room for a ramp
            return float(i > high)
        return min(max((i - low) / (high - low), 0.0), 1.0)

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
