"""The tables of engine.backends.tenstorrent.tables on the card, and the precision of a run."""

from __future__ import annotations

from dataclasses import dataclass

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
            cosines, sines = tables.rotation_tables(spec, stored)
            self.cosines_Th = self._matrix(cosines, precision.compute)
            self.sines_Th = self._matrix(sines, precision.compute)
            self.turn_hh = self._matrix(tables.quarter_turn(spec), precision.compute)
        elif spec.position == "sinusoidal":
            self.vectors_TD = self._matrix(tables.sinusoidal_table(spec, stored), precision.stream)
        self.mask_HTT = ops.upload(tables.score_mask(spec, stored)[None], precision.stream)
        allowed = tables.vocabulary_mask(spec)
        self.allowed_V = None if allowed is None else self._matrix(allowed[None], "fp32")
        self.vocabulary_V = self._matrix(np.arange(Sizes(spec).vocabulary)[None], "fp32")
        learned = spec.position == "learned"
        rows = np.arange(Sizes(spec).positions)[None]
        self.places_P = self._matrix(rows, "fp32") if learned else None

    def _matrix(self, array: NDArray[np.generic], dtype: Dtype) -> Tensor:
        return self._ops.upload(array[None, None], dtype)


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
