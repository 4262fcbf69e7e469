"""Arrays that a card is given: weights, token ids, and tables of positions and scores.

These functions together are an engine.card_graph.kernels.HostArrays. Tables are for sequences of T
tokens, T a multiple of 32, and are uploaded once.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.alibi import alibi_slopes
from engine.card_graph.kernels import Array, Ids
from engine.card_graph.layout import Placement, Sizes
from engine.card_graph.tensor import Shape, whole_tiles
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


def counting(count: int) -> Array:
    """0, 1, … (count,)."""
    return np.arange(count)


def zeros(shape: tuple[int, ...]) -> Array:
    """fp32."""
    return np.zeros(shape, np.float32)


def filled(shape: Shape, value: float) -> Array:
    """One value everywhere."""
    return np.full(shape, value)


def flat_ids(ids_BT: Ids, filling: int) -> Ids:
    """Each sequence followed by ``filling`` times id 0: (N,)."""
    return np.pad(ids_BT, ((0, 0), (0, filling))).reshape(-1)


def more_rows(ids_BT: Ids, rows: int) -> Ids:
    """``rows`` sequences of id 0 behind the others."""
    return np.pad(ids_BT, ((0, rows), (0, 0)))


def longer(ids_T: Ids, tokens: int) -> Ids:
    """``tokens`` times id 0 behind the others."""
    return np.pad(ids_T, (0, tokens))


def places(rows: int, length: int) -> Ids:
    """The position of every token (B, T)."""
    return np.tile(np.arange(length), (rows, 1))


def shares(rows: int, length: int, filling: int, count: int) -> Array:
    """What each token counts, (1, 1, N, 1): 1 / (B · T · count), and what only fills 0.

    The last ``filling`` of ``rows`` sequences fill, and positions from ``length`` on.
    """
    share = np.zeros((rows, whole_tiles(length)))
    share[: rows - filling, :length] = 1.0 / ((rows - filling) * length * count)
    return share.reshape(1, 1, -1, 1)


def put(place: Placement, weight: Array) -> Array:
    """A weight's array for the card; ValueError for one of another shape."""
    if weight.shape != place.shape:
        raise ValueError(f"a weight has shape {weight.shape}, this model {place.shape}")
    apart = weight.reshape(*place.rows[:2], *place.columns[:2])
    rows, columns = place.rows[2] - place.rows[1], place.columns[2] - place.columns[1]
    full = np.pad(apart, ((0, 0), (0, rows), (0, 0), (0, columns)))
    return full.reshape(place.stored)


def take(place: Placement, stored: Array) -> Array:
    """What ``put`` was given."""
    apart = stored.reshape(place.rows[0], place.rows[2], place.columns[0], place.columns[2])
    kept = apart[:, : place.rows[1], :, : place.columns[1]]
    return np.ascontiguousarray(kept).reshape(place.shape)
