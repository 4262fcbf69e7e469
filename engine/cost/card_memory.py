"""What training on a Tenstorrent card takes beyond what the tape of torch's operations says.

A card keeps tensors in tiles of 32 × 32 numbers, writes attention's matrices of scores out in 16
bits, draws dropout's masks again instead of keeping them, and keeps its 16-bit weights beside the
fp32 ones. This is an estimate for a slider: the exact count goes through the card's very
operations (engine.card_graph.peak_memory), takes tens of milliseconds and is made before
a run starts. It came to 0.50 to 1.36 times the estimate in 160 drawn designs, half of them below
0.91.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from engine.cost.parameters import count
from engine.spec import ModelSpec

TILE = 32
# The exact count was at least so much of the estimate.
LEAST_OF_ESTIMATE = 0.5


class CardExtra(NamedTuple):
    """Bytes beside the tape's: in all, and for each sequence of the batch.

    ``weights``: 16-bit copies. ``gradients``: a gradient on its way into its sum. ``scores``: kept
    for the backward pass, and in work. ``reading``: of these what a pass without one needs.
    ``logits``: a 16-bit copy of the vocabulary's scores.
    """

    weights: int
    gradients: int
    scores: int
    reading: int
    logits: int


def whole_tiles(size: int) -> int:
    """``size`` rounded up to whole tiles."""
    return -(-size // TILE) * TILE


@lru_cache(maxsize=256)
def on_tiles(spec: ModelSpec) -> ModelSpec:
    """The design as a card stores it, its dropout's masks left out. To count with, not to build."""
    return spec.replace(
        hidden_dim=whole_tiles(spec.hidden_dim),
        head_dim=whole_tiles(spec.head_size),
        mlp_dim=whole_tiles(spec.mlp_dim),
        vocab_size=whole_tiles(spec.vocab_size),
        max_seq_len=whole_tiles(spec.max_seq_len),
        dropout=0.0,
    )


def card_extra(spec: ModelSpec, seq_len: int, *, mixed: bool, checkpointing: bool) -> CardExtra:
    """What comes on top for a design ``on_tiles`` with sequences of whole tiles."""
    counted = count(spec)
    scores = spec.num_heads * seq_len * seq_len
    kept = 1 if checkpointing else spec.num_layers
    return CardExtra(
        weights=2 * counted.total if mixed else 0,
        gradients=4 * max(math.prod(weight.shape) for weight in counted.weights),
        scores=(2 * kept + 8) * scores,
        reading=8 * scores,
        logits=2 * seq_len * spec.vocab_size,
    )
