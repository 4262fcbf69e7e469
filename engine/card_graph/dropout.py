"""Dropout whose masks are drawn again, not kept: forward, backward and recomputed blocks agree.

A mask is a pure function of a seed that says which one it is: run, step, micro-batch, layer and
place. So none is kept for the backward pass, and a resumed run draws the same ones.
"""

from __future__ import annotations

import struct
import zlib

from engine.card_graph.ops import Ops
from engine.card_graph.tensor import Tensor

EMBEDDING, ATTENTION, ATTENTION_OUTPUT, FEED_FORWARD_OUTPUT = range(4)


class Dropout:
    """Dropout of one forward and backward pass; nothing at all for probability 0.

    ``key``: what tells this pass from all others of the run.
    """

    def __init__(self, ops: Ops, probability: float, key: tuple[int, ...] = ()) -> None:
        self._ops, self._probability, self._key = ops, probability, key

    def apply(self, x: Tensor, layer: int, place: int) -> Tensor:
        """x with some numbers 0 and the others scaled up, or of a gradient the same ones.

        The result may share the memory of x, which stays the caller's.
        """
        thinned = self.thin(x, layer, place)
        scaled = self.scaled(thinned)
        self._ops.free(thinned)
        return scaled

    def thin(self, x: Tensor, layer: int, place: int) -> Tensor:
        """The first half of ``apply``: some numbers 0, the others as they were."""
        ops = self._ops
        if self._probability == 0:
            return ops.share(x)
        mask = ops.keep_mask(x.shape, self._probability, self._seed(layer, place))
        factors = ops.cast(mask, x.dtype)
        ops.free(mask)
        kept = ops.multiply(x, factors)
        ops.free(factors)
        return kept

    def scaled(self, x: Tensor) -> Tensor:
        """The second half, which can as well be applied to a smaller product of ``thin``."""
        if self._probability == 0:
            return self._ops.share(x)
        return self._ops.scale(x, 1.0 / (1.0 - self._probability))

    def _seed(self, layer: int, place: int) -> int:
        numbers = (*self._key, layer, place)
        return zlib.crc32(struct.pack(f"<{len(numbers)}Q", *numbers))
