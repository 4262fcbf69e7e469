"""What an update takes and gives back, operation by operation, written down once for all sizes.

Which tensors a step makes and frees, and in which order, depends on the options of a design and not
on its sizes. So the operations are gone through once, with a small design of two layers whose sizes
are told apart by their value, and every tensor is written down by the letters of its dimensions.
With numbers in place of the letters the same list is the memory of any design of these options:
engine.cost.card_course does that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from engine.card_graph.block import Block, BlockSaved
from engine.card_graph.decoder import Decoder
from engine.card_graph.dropout import Dropout
from engine.card_graph.layout import placements
from engine.card_graph.norm import NormSaved
from engine.card_graph.ops import Ops
from engine.card_graph.parameters import Gradients
from engine.card_graph.shape_kernels import NO_ARRAY, Blank, ShapeKernels
from engine.card_graph.tensor import TILE, Dtype, Ledger, Shape, Tensor
from engine.card_graph.update import Updater
from engine.parameter import Value
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

# Numbers of tensors that are taken, in order; negative where they are given back.
Tape = tuple[int, ...]
Letters = tuple[str, ...]

# One value for each letter, so that each product that is a dimension is told from all others. The
# letters: B sequences, T tokens, D width, H heads, K key/value heads, G = H / K, h head size, M
# feed-forward width, V vocabulary, P positions; all but B, H, K and G in whole tiles.
_VALUES = {
    "B": 3, "T": 5 * TILE, "D": 13 * TILE, "H": 22, "K": 11, "G": 2, "h": 7 * TILE,
    "M": 17 * TILE, "V": 19 * TILE, "P": 23 * TILE, "tile": TILE,
}  # fmt: skip
_PRODUCTS = (
    "", "T", "D", "H", "h", "M", "V", "P", "BT", "Hh", "Kh", "HT", "KT", "BHT", "BKT", "BHh", "BKh",
)  # fmt: skip


class Extent(NamedTuple):
    """A tensor's rows and columns, each a product of letters, its number format, and whether it
    grows with the batch.

    The matrices of a tensor count as one below the other: all have whole tiles of rows.
    """

    rows: Letters
    columns: Letters
    dtype: Dtype
    grows: bool


class Pass(NamedTuple):
    """One micro-batch forward and backward.

    ``forward`` and ``backward`` are those of every layer but one: ``last_forward`` is the last
    layer's, ``last_backward`` the first one's, to which the backward pass comes last.
    ``after``: what is done with its loss.
    """

    start: Tape
    forward: Tape
    last_forward: Tape
    loss: Tape
    head_backward: Tape
    backward: Tape
    last_backward: Tape
    embedding_backward: Tape
    after: Tape


class Reading(NamedTuple):
    """A forward pass that keeps nothing; ``through`` is every layer's."""

    start: Tape
    through: Tape
    finish: Tape


class WeightUpdate(NamedTuple):
    """One weight's update, with the number of its gradient, which it frees."""

    gradient: int
    tape: Tape


@dataclass(frozen=True, eq=False)
class Recording:
    """All that a run of these options takes. Tensors have numbers from 1, those of ``extents``.

    There is one for each set of options: told apart by identity, which is quick.

    Attributes:
        weights, layer_weights: fp32 weights and their copies, once and in each layer.
        state, layer_state: what the optimizer remembers, likewise.
        tables: made for one length of sequences, and kept.
        passes: the first micro-batch, and where there are more the second, as all later ones.
        clip: of the gathered gradient.
        numbers: made before the weights are updated, freed after them.
        before, layer, after: the update of weights, in order; ``layer`` is every layer's.
        validation, sampling: of a batch, and of one text for its next token.
        gradients: numbers of tensors that are gradients where a pass takes or gives them.
    """

    extents: tuple[Extent, ...]
    weights: Tape
    layer_weights: Tape
    state: Tape
    layer_state: Tape
    tables: Tape
    passes: tuple[Pass, ...]
    clip: Tape
    numbers: Tape
    before: tuple[WeightUpdate, ...]
    layer: tuple[WeightUpdate, ...]
    after: tuple[WeightUpdate, ...]
    validation: Reading
    sampling: Reading
    gradients: frozenset[int]


# What decides which tensors there are, of a design and of a run; also whether a dropout, a clip and
# a decay are there at all, and whether the vocabulary fills its tiles.
_DESIGN_OPTIONS = (
    "qkv_bias", "attention_output_bias", "mlp_bias", "head_bias", "tied_embeddings", "activation",
    "position", "norm", "norm_position",
)  # fmt: skip
_RUN_OPTIONS = ("precision", "optimizer", "gradient_checkpointing")
_design_options, _run_options = attrgetter(*_DESIGN_OPTIONS), attrgetter(*_RUN_OPTIONS)


def recording(spec: ModelSpec, run: RunSpec) -> Recording:
    """The recording for the options of a design and run; kept. The first takes milliseconds.

    The optimizer must be one that cards have.
    """
    return _recording(
        _design_options(spec), spec.dropout > 0, spec.vocab_size % TILE == 0,
        _run_options(run), run.accumulation_steps > 1, run.grad_clip > 0, run.weight_decay > 0,
    )  # fmt: skip


@lru_cache(maxsize=512)
def _recording(
    design: tuple[Value, ...], dropout: bool, filled: bool,
    of_run: tuple[Value, ...], several: bool, clipped: bool, decayed: bool,
) -> Recording:  # fmt: skip
    """A small design with these options, whose sizes tell the letters apart."""
    spec = ModelSpec(
        hidden_dim=_VALUES["D"],
        num_layers=2,
        num_heads=_VALUES["H"],
        num_kv_heads=_VALUES["K"],
        head_dim=_VALUES["h"],
        mlp_dim=_VALUES["M"],
        max_seq_len=_VALUES["P"],
        vocab_size=_VALUES["V"] - (not filled),
        dropout=0.5 if dropout else 0.0,
    ).replace(**dict(zip(_DESIGN_OPTIONS, design, strict=True)))
    run = RunSpec(
        batch_size=_VALUES["B"],
        seq_len=_VALUES["T"],
        accumulation_steps=2 if several else 1,
        grad_clip=1.0 if clipped else 0.0,
        weight_decay=0.1 if decayed else 0.0,
    ).replace(**dict(zip(_RUN_OPTIONS, of_run, strict=True)))
    return _Recorder(spec, run).record()


class _Numbers(Ledger):
    """A ledger that writes down what is taken and given instead of adding it up."""

    def __init__(self) -> None:
        super().__init__()
        self._tape: list[int] = []

    def take(self, count: int) -> None:
        self._tape.append(count)

    def give(self, count: int) -> None:
        self._tape.append(-count)

    def pass_through(self, count: int) -> None:
        self._tape += (count, -count)

    def cut(self) -> Tape:
        """What was written down since the last cut."""
        tape, self._tape = tuple(self._tape), []
        return tape


class _NumberedOps(Ops):
    """Operations on shapes whose tensors are entered by the number of their extent."""

    def __init__(self) -> None:
        super().__init__(ShapeKernels())
        self.ledger: _Numbers = _Numbers()
        self._numbers: dict[tuple[int, int, Dtype], int] = {}

    def size_of(self, shape: Shape, dtype: Dtype) -> int:
        a, b, rows, columns = shape
        assert rows % TILE == 0 or a * b == 1, "matrices have whole tiles of rows"
        return self._numbers.setdefault((a * b * rows, columns, dtype), len(self._numbers) + 1)

    def extents(self) -> tuple[Extent, ...]:
        """Of all numbers in order. KeyError for a dimension that no product of letters is."""
        return tuple(_extent(*key) for key in self._numbers)


class _CutDecoder(Decoder):
    """A decoder that cuts the tape where one part of a pass ends and the next begins."""

    cuts: list[Tape]

    def _cut(self) -> None:
        ledger = self.ops.ledger
        assert isinstance(ledger, _Numbers)
        self.cuts.append(ledger.cut())

    def loss_and_gradients(self, *args: Any, **more: Any) -> Tensor:
        self._cut()
        loss = super().loss_and_gradients(*args, **more)
        self._cut()
        return loss

    def _block_forward(
        self, block: Block, x_ND: Tensor, dropout: Dropout
    ) -> tuple[Tensor, BlockSaved | Tensor]:
        self._cut()
        return super()._block_forward(block, x_ND, dropout)

    def _block_through(self, block: Block, x_ND: Tensor, dropout: Dropout) -> Tensor:
        self._cut()
        return super()._block_through(block, x_ND, dropout)

    def _finish(self, x_ND: Tensor) -> tuple[Tensor, NormSaved | None]:
        self._cut()
        return super()._finish(x_ND)

    def _finish_backward(
        self, gradients: Gradients, final: NormSaved | None, narrow_ND: Tensor
    ) -> Tensor:
        self._cut()
        return super()._finish_backward(gradients, final, narrow_ND)

    def _block_backward(
        self, block: Block, gradients: Gradients, saved: BlockSaved | Tensor, gradient_ND: Tensor,
        dropout: Dropout,
    ) -> Tensor:  # fmt: skip
        self._cut()
        return super()._block_backward(block, gradients, saved, gradient_ND, dropout)

    def _embed_backward(self, *args: Any) -> None:
        self._cut()
        super()._embed_backward(*args)


class _Recorder:
    def __init__(self, spec: ModelSpec, run: RunSpec) -> None:
        self._spec, self._run, self._ops = spec, run, _NumberedOps()
        weights = dict.fromkeys(placements(spec), NO_ARRAY)
        self._updater = Updater(spec, run, self._ops, weights, _CutDecoder)
        decoder = self._updater.decoder
        assert isinstance(decoder, _CutDecoder)
        self._decoder = decoder

    def record(self) -> Recording:
        self._cut()
        self._decoder.prepare(self._run.sequence_length(self._spec))
        tables = self._cut()
        passes, loss = self._passes()
        length = self._updater.clip()
        clip = self._cut()
        numbers, updates = self._updates()
        self._ops.free(loss, length)
        self._cut()
        validation = self._reading(lambda ids: self._decoder.loss(ids, ids), self._run.batch_size)
        sampling = self._reading(lambda ids: self._decoder.next_scores(ids, 1), 1)
        return Recording(
            extents=self._ops.extents(),
            weights=self._held(self._weight_tensors, in_layer=False),
            layer_weights=self._held(self._weight_tensors, in_layer=True),
            state=self._held(self._state_tensors, in_layer=False),
            layer_state=self._held(self._state_tensors, in_layer=True),
            tables=tables,
            passes=passes,
            clip=clip,
            numbers=numbers,
            before=_of_place("before", updates),
            layer=_of_place("layer", updates),
            after=_of_place("after", updates),
            validation=validation,
            sampling=sampling,
            gradients=frozenset(of.gradient for _, of in updates),
        )

    def _cut(self) -> Tape:
        return self._ops.ledger.cut()

    def _passes(self) -> tuple[tuple[Pass, ...], Tensor]:
        ids: Any = Blank((self._run.batch_size, self._run.sequence_length(self._spec)))
        count = self._run.accumulation_steps
        self._decoder.cuts = cuts = []
        loss = self._updater.gradients([(ids, ids)] * count, count)
        cuts.append(self._cut())
        # Cuts of a pass: what came before, then start, two layers, loss, head, two layers back,
        # embedding; what came after the last one.
        assert len(cuts) == 9 * count + 1, "a pass has the parts that it had"
        found = []
        for at in range(0, 9 * count, 9):
            start, forward, last, finish, head, back, first, embedding = cuts[at + 1 : at + 9]
            found.append(Pass(start, forward, last, finish, head, back, first, embedding,
                              cuts[at + 9]))  # fmt: skip
        return tuple(found), loss

    def _updates(self) -> tuple[Tape, list[tuple[str, WeightUpdate]]]:
        optimizer, held = self._updater.optimizer, dict(self._updater.held_gradients())
        numbers = optimizer.begin(1.0)
        made = self._cut()
        found = []
        for name in placements(self._spec):
            gradient = held.pop(name).storage.entry
            self._updater.apply_to(name, numbers)
            found.append((name, WeightUpdate(gradient, self._cut())))
        self._ops.free(*numbers.values())
        self._cut()
        return made, found

    def _reading(self, read: Any, rows: int) -> Reading:
        ids: Any = Blank((rows, self._run.sequence_length(self._spec)))
        self._decoder.cuts = cuts = []
        result = read(ids)
        cuts.append(self._cut())
        self._ops.free(result)
        self._cut()
        start, through, again, finish = cuts
        assert through == again, "all layers are alike"
        return Reading(start, through, finish)

    def _weight_tensors(self, name: str) -> list[Tensor]:
        parameters = self._updater.decoder.parameters
        found = [parameters.vector(name)]
        if len(placements(self._spec)[name].shape) == 2:
            found.append(parameters.matrix(name))
        return found

    def _state_tensors(self, name: str) -> list[Tensor]:
        state = self._updater.optimizer.state
        return [tensor for key, tensor in state.items() if key.split("/", 1)[1] == name]

    def _held(self, of: Any, *, in_layer: bool) -> Tape:
        """Numbers of the tensors of each weight: of those outside layers, or of the first layer."""
        places = ("layer",) if in_layer else ("before", "after")
        stored = {
            id(tensor.storage): tensor.storage.entry
            for name in placements(self._spec)
            if _place(name) in places
            for tensor in of(name)
        }
        return tuple(stored.values())


def _place(name: str) -> str:
    """Where a weight stands in the order of updates."""
    if name.startswith("model.layers."):
        return "layer" if name.startswith("model.layers.0.") else "other layer"
    return "before" if name.startswith("model.embed") else "after"


def _of_place(place: str, updates: list[tuple[str, WeightUpdate]]) -> tuple[WeightUpdate, ...]:
    return tuple(update for name, update in updates if _place(name) == place)


def values_of(letters: Mapping[str, int], dimensions: Sequence[str]) -> int:
    """The product of letters."""
    product = 1
    for letter in dimensions:
        product *= letters[letter]
    return product


def _extent(rows: int, columns: int, dtype: Dtype) -> Extent:
    of_rows, of_columns = _BY_SIZE[rows], _BY_SIZE[columns]
    return Extent(of_rows, of_columns, dtype, "B" in (*of_rows, *of_columns))


# All products that are a dimension somewhere, as letters.
DIMENSIONS: tuple[Letters, ...] = (("tile",), *map(tuple, _PRODUCTS))
_BY_SIZE = {values_of(_VALUES, letters): letters for letters in DIMENSIONS}
assert len(_BY_SIZE) == len(DIMENSIONS), "sizes must be told apart"
