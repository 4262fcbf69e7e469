"""The tables of engine.backends.tenstorrent.tables on the card, and the precision of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from engine.backends.tenstorrent import tables
from engine.backends.tenstorrent.layout import Sizes
from engine.backends.tenstorrent.ops import Ops
from engine.backends.tenstorrent.tensor import Dtype, Tensor, whole_tiles
from engine.spec import ModelSpec


@dataclass(frozen=True)
class Precision:
    """Number formats of a step.

    Attributes:
        stream: the residual stream, attention's scores, and the gradients of both.
        compute: what matrices multiply, and the weights' copies that are multiplied.

    Norms, logits, loss, gradients of weights, and the weights themselves are always fp32.
    """

    stream: Dtype
    compute: Dtype


PRECISIONS = {
    "fp32": Precision("fp32", "fp32"),
    "bf16-mixed": Precision("fp32", "bf16"),
    "bf16": Precision("bf16", "bf16"),
}


class Constants:
    """Tables for sequences of ``length`` true tokens; those that the design lacks are None."""

    def __init__(self, spec: ModelSpec, ops: Ops, precision: Precision, length: int) -> None:
        self.length = length
        self.stored_length = stored = whole_tiles(length)
        self._ops = ops
        self.cosines_Th = self.sines_Th = self.turn_hh = self.vectors_TD = None
        if spec.position == "rope":
            both = partial(tables.rotation_tables, spec, stored)
            shape, dtype = (stored, Sizes(spec).head), precision.compute
            self.cosines_Th = self._matrix(shape, dtype, lambda: both()[0])
            self.sines_Th = self._matrix(shape, dtype, lambda: both()[1])
            shape = (Sizes(spec).head, Sizes(spec).head)
            self.turn_hh = self._matrix(shape, dtype, partial(tables.quarter_turn, spec))
        elif spec.position == "sinusoidal":
            vectors = partial(tables.sinusoidal_table, spec, stored)
            self.vectors_TD = self._matrix((stored, spec.hidden_dim), precision.stream, vectors)
        heads = spec.num_heads if spec.position == "alibi" else 1
        self.mask_HTT = ops.make(
            (1, heads, stored, stored), precision.stream,
            lambda: tables.score_mask(spec, stored)[None],
        )  # fmt: skip
        filled = Sizes(spec).vocabulary != spec.vocab_size
        self.allowed_V = self._row(tables.vocabulary_mask(spec)) if filled else None
        self.vocabulary_V = self._row(np.arange(Sizes(spec).vocabulary))
        learned = spec.position == "learned"
        self.places_P = self._row(np.arange(Sizes(spec).positions)) if learned else None

    def _row(self, numbers: NDArray[np.generic]) -> Tensor:
        return self._ops.upload(numbers[None, None, None], "fp32")

    def _matrix(
        self, shape: tuple[int, int], dtype: Dtype, make: Callable[[], tables.Numbers]
    ) -> Tensor:
        return self._ops.make((1, 1, *shape), dtype, lambda: make()[None, None])


class Batch:
    """Token ids (B, T) on the card, filled up to whole tiles of positions with id 0.

    ``column_N``: the ids once more as numbers, for ``Ops.equal``. ``free`` lets go of both.
    """

    def __init__(self, ops: Ops, ids_BT: NDArray[np.integer]) -> None:
        self.rows, self.length = ids_BT.shape
        filling = whole_tiles(self.length) - self.length
        flat = np.pad(ids_BT, ((0, 0), (0, filling))).reshape(-1)
        self.ids_N = ops.upload(flat[None, None, None], "ids")
        self.column_N = ops.upload(flat[None, None, :, None], "fp32")

    def free(self, ops: Ops) -> None:
        """Let go of the ids."""
        ops.free(self.ids_N, self.column_N)
