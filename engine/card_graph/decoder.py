"""The decoder of engine.models, forward and backward, in operations of a card."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from engine.card_graph.attention import Attention
from engine.card_graph.block import Block, BlockSaved
from engine.card_graph.constants import Batch, Constants, Precision
from engine.card_graph.dropout import EMBEDDING, Dropout
from engine.card_graph.head import Head
from engine.card_graph.kernels import Array, Ids
from engine.card_graph.norm import NormSaved, norm, norm_backward
from engine.card_graph.ops import Ops
from engine.card_graph.parameters import Gradients, Parameters
from engine.card_graph.tensor import TILE, Tensor, whole_tiles
from engine.spec import ModelSpec

_EMBEDDING, _POSITIONS, _FINAL = "model.embed_tokens", "model.embed_positions", "model.norm"


class Decoder:
    """A decoder-only language model on a card.

    ``checkpointing``: forget what is inside each block and compute it again going backward.
    """

    def __init__(
        self, spec: ModelSpec, ops: Ops, precision: Precision, weights: Mapping[str, Array], *,
        checkpointing: bool = False,
    ) -> None:  # fmt: skip
        self.spec, self.ops, self.precision = spec, ops, precision
        self.checkpointing = checkpointing
        self.parameters = Parameters(spec, ops, precision, weights)
        self._constants: Constants | None = None

    def loss(self, inputs_BT: Ids, targets_BT: Ids, rows: int = 0) -> Tensor:
        """Mean cross-entropy in nats, (1, 1, 1, 1).

        The batch is filled up to ``rows`` sequences that count nothing: operations are compiled
        for every size that they meet, so a last batch of fewer sequences would cost many seconds.
        """
        filling = max(0, rows - inputs_BT.shape[0])
        if filling:
            inputs_BT = self.ops.host.more_rows(inputs_BT, filling)
            targets_BT = self.ops.host.more_rows(targets_BT, filling)
        features_ND = self._features(inputs_BT)
        targets, share_N = self._aim(targets_BT, 1, filling)
        loss = self._head(inputs_BT).loss(features_ND, targets, share_N)
        targets.free(self.ops)
        self.ops.free(features_ND, share_N)
        return loss

    def logits(self, inputs_BT: Ids) -> Array:
        """Scores of every next token, (B, T, V), on the host."""
        features_ND = self._features(inputs_BT)
        logits_NV = self._head(inputs_BT).logits(features_ND)
        self.ops.free(features_ND)
        scores = self.ops.download(logits_NV)[0, 0, :, : self.spec.vocab_size]
        self.ops.free(logits_NV)
        rows, length = inputs_BT.shape
        apart: Array = scores.reshape(rows, whole_tiles(length), -1)
        return apart[:, :length]

    def next_logits(self, inputs_T: Ids) -> Array:
        """Scores (V,) of the token that follows ``inputs_T``; only these leave the card.

        The text is filled up to the length that was last worked on, where it is shorter: a text
        that grows token by token meets operations that are compiled already.
        """
        count = inputs_T.shape[0]
        if self._constants is not None:
            room = min(self._constants.stored_length, self.spec.max_seq_len)
            if room > count:
                inputs_T = self.ops.host.longer(inputs_T, room - count)
        logits_NV = self.next_scores(inputs_T[None], count)
        scores: Array = self.ops.download(logits_NV)[0, 0, 0, : self.spec.vocab_size]
        self.ops.free(logits_NV)
        return scores

    def next_scores(self, inputs_BT: Ids, count: int) -> Tensor:
        """One tile of rows (32, V), of which the first belongs to token ``count`` - 1."""
        ops, shape = self.ops, (1, 1, 1, TILE)
        features_ND = self._features(inputs_BT)
        place = ops.make(shape, "ids", partial(ops.host.filled, shape, count - 1))
        row_D = ops.embedding(place, features_ND)
        ops.free(place, features_ND)
        logits_NV = self._head(inputs_BT).logits(row_D)
        ops.free(row_D)
        return logits_NV

    def loss_and_gradients(
        self, gradients: Gradients, inputs_BT: Ids, targets_BT: Ids, count: int,
        key: tuple[int, ...] = (),
    ) -> Tensor:  # fmt: skip
        """Add the gradient of the mean loss / ``count``; return that loss, (1, 1, 1, 1).

        ``key`` tells this pass from all others: it chooses the masks of dropout.
        """
        ops, blocks = self.ops, self._blocks(inputs_BT)
        dropout = Dropout(ops, self.spec.dropout, key)
        inputs = self._batch(inputs_BT)
        x_ND, saved = self._forward(inputs, blocks, dropout)
        features_ND, final = self._finish(x_ND)
        ops.free(x_ND)
        targets, share_N = self._aim(targets_BT, count)
        head = self._head(inputs_BT)
        loss, narrow_ND = head.loss_backward(gradients, features_ND, targets, share_N)
        targets.free(ops)
        ops.free(share_N)
        gradient_ND = self._finish_backward(gradients, final, narrow_ND)
        for block in reversed(blocks):
            gradient_ND = self._block_backward(block, gradients, saved.pop(), gradient_ND, dropout)
        embedded_ND = dropout.apply(gradient_ND, 0, EMBEDDING)
        ops.free(gradient_ND)
        self._embed_backward(gradients, inputs, embedded_ND)
        inputs.free(ops)
        ops.free(embedded_ND)
        return loss

    def _forward(
        self, inputs: Batch, blocks: list[Block], dropout: Dropout
    ) -> tuple[Tensor, list[BlockSaved | Tensor]]:
        """The stream after the last block, and what each needs to go backward."""
        whole_ND = self._embed(inputs)
        x_ND = dropout.apply(whole_ND, 0, EMBEDDING)
        self.ops.free(whole_ND)
        saved: list[BlockSaved | Tensor] = []
        for block in blocks:
            x_ND, kept = self._block_forward(block, x_ND, dropout)
            saved.append(kept)
        return x_ND, saved

    def _block_forward(
        self, block: Block, x_ND: Tensor, dropout: Dropout
    ) -> tuple[Tensor, BlockSaved | Tensor]:
        """The stream after a block, and what it needs to go backward; takes x over."""
        out_ND, inside = block.forward(x_ND, dropout)
        if self.checkpointing:
            _free_all(self.ops, inside)
            return out_ND, x_ND
        self.ops.free(x_ND)
        return out_ND, inside

    def _block_backward(
        self, block: Block, gradients: Gradients, saved: BlockSaved | Tensor, gradient_ND: Tensor,
        dropout: Dropout,
    ) -> Tensor:  # fmt: skip
        if isinstance(saved, Tensor):  # the block's input: its inside was forgotten
            out_ND, inside = block.forward(saved, dropout)
            self.ops.free(out_ND, saved)
            saved = inside
        return block.backward(gradients, saved, gradient_ND, dropout)

    def _features(self, inputs_BT: Ids) -> Tensor:
        """What the head reads, (N, D), with nothing kept."""
        inputs = self._batch(inputs_BT)
        x_ND = self._embed(inputs)
        inputs.free(self.ops)
        dropout = Dropout(self.ops, 0.0)
        for block in self._blocks(inputs_BT):
            x_ND = self._block_through(block, x_ND, dropout)
        features_ND, final = self._finish(x_ND)
        self.ops.free(x_ND)
        if final is not None:
            self.ops.free(*final)
        return features_ND

    def _block_through(self, block: Block, x_ND: Tensor, dropout: Dropout) -> Tensor:
        """The stream after a block, with nothing kept; takes x over."""
        out_ND, inside = block.forward(x_ND, dropout)
        _free_all(self.ops, inside)
        self.ops.free(x_ND)
        return out_ND

    def _embed(self, inputs: Batch) -> Tensor:
        """Vectors of tokens (and their positions) in the stream's format."""
        ops, stream = self.ops, self.precision.stream
        rows_ND = ops.embedding(inputs.ids_N, self.parameters.matrix(f"{_EMBEDDING}.weight"))
        x_ND = ops.cast(rows_ND, stream)
        ops.free(rows_ND)
        added_TD = self._constants_of(inputs.length).vectors_TD
        if self.spec.position == "learned":
            places = self._places(inputs)
            table = self.parameters.matrix(f"{_POSITIONS}.weight")
            narrow_ND = ops.embedding(places.ids_N, table)
            places.free(ops)
            vectors_ND = ops.cast(narrow_ND, stream)
            total_ND = ops.add(x_ND, vectors_ND)
            ops.free(x_ND, narrow_ND, vectors_ND)
            return total_ND
        if added_TD is None:
            return x_ND
        length, width = added_TD.shape[2:]
        apart_BTD = ops.reshape(x_ND, (inputs.rows, 1, length, width))
        total_BTD = ops.add(apart_BTD, added_TD)
        ops.free(x_ND, apart_BTD)
        return ops.reshape(total_BTD, (1, 1, inputs.rows * length, width))

    def _embed_backward(self, gradients: Gradients, inputs: Batch, gradient_ND: Tensor) -> None:
        """Rows of the gradient added up by token, and by position.

        As a product with one-hot rows, in fp32: ttnn's own embedding_bw adds up in bf16, where a
        sum of hundreds of rows (a frequent character) stands still.
        """
        constants = self._constants_of(inputs.length)
        self._scatter(gradients, f"{_EMBEDDING}.weight", inputs, constants.vocabulary_V,
                      gradient_ND)  # fmt: skip
        if constants.places_P is not None:
            places = self._places(inputs)
            self._scatter(gradients, f"{_POSITIONS}.weight", places, constants.places_P,
                          gradient_ND)  # fmt: skip
            places.free(self.ops)

    def _scatter(
        self, gradients: Gradients, name: str, ids: Batch, row_V: Tensor, gradient_ND: Tensor
    ) -> None:
        ops, compute = self.ops, self.precision.compute
        chosen_NV = ops.equal(ids.column_N, row_V, compute)
        narrow_ND = ops.cast(gradient_ND, compute)
        gradients.add(name, ops.matmul(chosen_NV, narrow_ND, transpose_a=True, dtype="fp32"))
        ops.free(chosen_NV, narrow_ND)

    def _finish(self, x_ND: Tensor) -> tuple[Tensor, NormSaved | None]:
        """What the head reads: pre-norm's last norm, in the format that is multiplied."""
        if self.spec.norm_position == "post":
            return self.ops.cast(x_ND, self.precision.compute), None
        return norm(self.ops, self.spec, self.parameters, _FINAL, x_ND, self.precision.compute)

    def _finish_backward(
        self, gradients: Gradients, final: NormSaved | None, narrow_ND: Tensor
    ) -> Tensor:
        """The gradient of the stream; frees ``narrow_ND``."""
        if final is None:
            gradient_ND = self.ops.cast(narrow_ND, self.precision.stream)
        else:
            gradient_ND = norm_backward(
                self.ops, self.spec, self.parameters, gradients, _FINAL, final, narrow_ND
            )
        self.ops.free(narrow_ND)
        return gradient_ND

    def _aim(self, targets_BT: Ids, count: int, filling: int = 0) -> tuple[Batch, Tensor]:
        """Targets, and what each token counts: 1 / (B · T · count), filling 0."""
        rows, length = targets_BT.shape
        shares = partial(self.ops.host.shares, rows, length, filling, count)
        shape = (1, 1, rows * whole_tiles(length), 1)
        return self._batch(targets_BT), self.ops.make(shape, "fp32", shares)

    def _batch(self, ids_BT: Ids) -> Batch:
        rows, length = ids_BT.shape
        return Batch(self.ops, rows, length, lambda: ids_BT)

    def _places(self, inputs: Batch) -> Batch:
        """The position of every token."""
        rows, length = inputs.rows, inputs.length
        return Batch(self.ops, rows, length, partial(self.ops.host.places, rows, length))

    def _head(self, ids_BT: Ids) -> Head:
        return Head(self.ops, self.spec, self.parameters, self._constants_of(ids_BT.shape[1]))

    def _blocks(self, ids_BT: Ids) -> list[Block]:
        constants = self._constants_of(ids_BT.shape[1])
        attention = Attention(self.ops, self.spec, self.parameters, constants, self.precision)
        return [
            Block(self.ops, self.spec, self.parameters, self.precision, attention, number)
            for number in range(self.spec.num_layers)
        ]

    def prepare(self, length: int) -> None:
        """Make the tables for sequences of this length, as the first step with it would."""
        self._constants_of(length)

    def _constants_of(self, length: int) -> Constants:
        """Tables for this length; those of the last length are kept."""
        if length > self.spec.max_seq_len:
            raise ValueError(
                f"{length:,} tokens do not fit the context of {self.spec.max_seq_len:,}: "
                "crop the text first"
            )
        stored = whole_tiles(length)
        if self._constants is None or self._constants.stored_length != stored:
            self._constants = None  # the former ones go first
            self._constants = Constants(self.spec, self.ops, self.precision, stored)
        return self._constants


def _free_all(ops: Ops, saved: BlockSaved) -> None:
    for part in saved:
        ops.free(*(tensor for tensor in part if tensor is not None))
