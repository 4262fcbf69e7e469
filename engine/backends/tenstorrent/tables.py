"""What the decoder knows of positions before it sees a token: computed here, uploaded once.

Everything is for sequences of T tokens, T a multiple of 32.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.alibi import alibi_slopes
from engine.backends.tenstorrent.layout import Sizes
from engine.rotary import rope_attention_factor, rope_frequencies
from engine.spec import ModelSpec

Numbers = NDArray[np.float64]
# Added to scores that must not count. Not -∞, which hardware may turn into NaN; e to the power of
# this is 0 in every number format.
FORBIDDEN = -1e9


def rotation_tables(spec: ModelSpec, length: int) -> tuple[Numbers, Numbers]:
    """Cosines and sines of RoPE for every position and feature of a head: two of (T, h).

    Feature i and i + h/2 (of the true h) turn by one angle; features added to fill the tile have
    0 in both.
    """
    frequencies = np.asarray(rope_frequencies(spec))
    angles = np.arange(length)[:, None] * np.concatenate((frequencies, frequencies))
    filling = ((0, 0), (0, Sizes(spec).head - spec.head_size))
    factor = rope_attention_factor(spec)
    return np.pad(np.cos(angles) * factor, filling), np.pad(np.sin(angles) * factor, filling)


def quarter_turn(spec: ModelSpec) -> Numbers:
    """The matrix (h, h) with which x · it turns each pair (a, b) to (-b, a).

    RoPE is then x · cos + (x · this) · sin. A product with a matrix of 1, -1 and 0 is exact, and
    needs no cut through the middle of a tile.
    """
    half, size = spec.head_size // 2, Sizes(spec).head
    turn = np.zeros((size, size))
    pairs = np.arange(half)
    turn[pairs + half, pairs] = -1.0
    turn[pairs, pairs + half] = 1.0
    return turn


def score_mask(spec: ModelSpec, length: int) -> Numbers:
    """What is added to the scores: (1, T, T), or with ALiBi (H, T, T).

    FORBIDDEN ahead of each token, otherwise 0 or ALiBi's -slope · distance.
    """
    distance = np.arange(length)[:, None] - np.arange(length)
    slopes = alibi_slopes(spec.num_heads) if spec.position == "alibi" else (0.0,)
    lowered = -np.asarray(slopes)[:, None, None] * distance
    return np.where(distance < 0, FORBIDDEN, lowered)


def sinusoidal_table(spec: ModelSpec, length: int) -> Numbers:
    """Vectors added to the embeddings (T, D), as engine.models.positions has them."""
    even = np.arange(0, spec.hidden_dim, 2)
    angles = np.arange(length)[:, None] * np.exp(even * (-math.log(10_000.0) / spec.hidden_dim))
    return np.stack((np.sin(angles), np.cos(angles)), axis=-1).reshape(length, -1)


def vocabulary_mask(spec: ModelSpec) -> Numbers:
    """What is added to the logits (V,): FORBIDDEN for tokens that only fill the tile."""
    places = np.arange(Sizes(spec).vocabulary)
    return np.where(places < spec.vocab_size, 0.0, FORBIDDEN)
