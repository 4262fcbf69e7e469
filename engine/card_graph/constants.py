"""Tables on the card that hold for every step, token ids there, and the precision of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from engine.card_graph.kernels import Array, Ids
from engine.card_graph.layout import Sizes
from engine.card_graph.ops import Ops
from engine.card_graph.tensor import Dtype, Tensor, whole_tiles
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
        self._ops, host = ops, ops.host
        self.cosines_Th = self.sines_Th = self.turn_hh = self.vectors_TD = None
        if spec.position == "rope":
            both = partial(host.rotation_tables, spec, stored)
            shape, dtype = (stored, Sizes(spec).head), precision.compute
            self.cosines_Th = self._matrix(shape, dtype, lambda: both()[0])
            self.sines_Th = self._matrix(shape, dtype, lambda: both()[1])
            shape = (Sizes(spec).head, Sizes(spec).head)
            self.turn_hh = self._matrix(shape, dtype, partial(host.quarter_turn, spec))
        elif spec.position == "sinusoidal":
            vectors = partial(host.sinusoidal_table, spec, stored)
            self.vectors_TD = self._matrix((stored, spec.hidden_dim), precision.stream, vectors)
        heads = spec.num_heads if spec.position == "alibi" else 1
        self.mask_HTT = ops.make(
            (1, heads, stored, stored), precision.stream,
            lambda: host.score_mask(spec, stored)[None],
        )  # fmt: skip
        self.allowed_V = self.places_P = None
        vocabulary, positions = Sizes(spec).vocabulary, Sizes(spec).positions
        if vocabulary != spec.vocab_size:
            self.allowed_V = self._row(vocabulary, partial(host.vocabulary_mask, spec))
        self.vocabulary_V = self._row(vocabulary, partial(host.counting, vocabulary))
        if spec.position == "learned":
            self.places_P = self._row(positions, partial(host.counting, positions))

    def _row(self, size: int, make: Callable[[], Array]) -> Tensor:
        return self._ops.make((1, 1, 1, size), "fp32", lambda: make()[None, None, None])

    def _matrix(self, shape: tuple[int, int], dtype: Dtype, make: Callable[[], Array]) -> Tensor:
        return self._ops.make((1, 1, *shape), dtype, lambda: make()[None, None])


class Batch:
    """``rows`` sequences of ``length`` token ids on the card, filled up to whole tiles with id 0.

    ``make`` gives them, (B, T). ``column_N``: the ids once more as numbers, for ``Ops.equal``.
    ``free`` lets go of both.
    """

    def __init__(self, ops: Ops, rows: int, length: int, make: Callable[[], Ids]) -> None:
        self.rows, self.length = rows, length
        filling = whole_tiles(length) - length
        count = rows * whole_tiles(length)
        flat = cache(lambda: ops.host.flat_ids(make(), filling))
        self.ids_N = ops.make((1, 1, 1, count), "ids", lambda: flat()[None, None, None])
        self.column_N = ops.make((1, 1, count, 1), "fp32", lambda: flat()[None, None, :, None])

    def free(self, ops: Ops) -> None:
        """Let go of the ids."""
        ops.free(self.ids_N, self.column_N)
