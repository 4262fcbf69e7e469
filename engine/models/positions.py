"""How a decoder knows the order of tokens: added vectors, rotations, or lowered scores.

Nothing here is learned or kept in a checkpoint: every table is computed from the spec for just
the positions that are asked for, in fp32, once for all layers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.alibi import alibi_slopes
from engine.rotary import rope_attention_factor, rope_frequencies
from engine.spec import ModelSpec


def sinusoidal_table(positions_T: Tensor, width: int) -> Tensor:
    """Vectors added to the embeddings: (T, width), fp32.

    Feature 2i is sin(p / 10000^(2i/width)) and 2i+1 its cosine (Vaswani et al. 2017, section 3.5,
    https://arxiv.org/abs/1706.03762).
    """
    even = torch.arange(0, width, 2, device=positions_T.device, dtype=torch.float32)
    angles = positions_T[:, None] * torch.exp(even * (-math.log(10_000.0) / width))
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


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


def alibi_bias(positions_T: Tensor, positions_S: Tensor, num_heads: int) -> Tensor:
    """What is added to the scores: -slope · distance, and -∞ ahead: (H, T, S), fp32."""
    slopes_H = torch.tensor(alibi_slopes(num_heads), device=positions_T.device)
    distance_TS = positions_T[:, None] - positions_S[None, :]
    bias_HTS = -slopes_H[:, None, None] * distance_TS
    return bias_HTS.masked_fill(distance_TS < 0, -math.inf)
