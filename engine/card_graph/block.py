"""One transformer block, forward and backward (engine.models.decoder.Block)."""

from __future__ import annotations

from typing import NamedTuple

from engine.card_graph.attention import Attention, AttentionSaved
from engine.card_graph.constants import Precision
from engine.card_graph.dropout import ATTENTION_OUTPUT, FEED_FORWARD_OUTPUT, Dropout
from engine.card_graph.feed_forward import (
    FeedForwardSaved,
    feed_forward,
    feed_forward_backward,
)
from engine.card_graph.norm import NormSaved, norm, norm_backward
from engine.card_graph.ops import Ops
from engine.card_graph.parameters import Gradients, Parameters
from engine.card_graph.tensor import Tensor
from engine.spec import ModelSpec


class BlockSaved(NamedTuple):
    """What the backward pass of a block needs."""

    input_norm: NormSaved
    attention: AttentionSaved
    middle_norm: NormSaved
    feed_forward: FeedForwardSaved


class Block:
    """The block of layer ``number``. Its input and output are the residual stream."""

    def __init__(
        self, ops: Ops, spec: ModelSpec, parameters: Parameters, precision: Precision,
        attention: Attention, number: int,
    ) -> None:  # fmt: skip
        self._ops, self._spec, self._parameters = ops, spec, parameters
        self._precision, self._attention, self._number = precision, attention, number
        name = f"model.layers.{number}"
        self._mlp = f"{name}.mlp"
        self._input_norm = f"{name}.input_layernorm"
        self._middle_norm = f"{name}.post_attention_layernorm"

    def forward(self, x_ND: Tensor, dropout: Dropout) -> tuple[Tensor, BlockSaved]:
        """The stream after the block; x stays the caller's."""
        forward = self._forward_pre if self._pre else self._forward_post
        return forward(x_ND, dropout)

    def backward(
        self, gradients: Gradients, saved: BlockSaved, gradient_ND: Tensor, dropout: Dropout
    ) -> Tensor:
        """The gradient of x; frees ``saved`` and ``gradient_ND``."""
        backward = self._backward_pre if self._pre else self._backward_post
        return backward(gradients, saved, gradient_ND, dropout)

    @property
    def _pre(self) -> bool:
        return self._spec.norm_position == "pre"

    def _forward_pre(self, x_ND: Tensor, dropout: Dropout) -> tuple[Tensor, BlockSaved]:
        """x + Attention(Norm(x)), then the same with the feed-forward network."""
        ops = self._ops
        normed_ND, input_norm = self._norm(self._input_norm, x_ND)
        attended_ND, attention = self._attend(normed_ND, dropout)
        ops.free(normed_ND)
        middle_ND = self._plus(x_ND, attended_ND)
        normed_ND, middle_norm = self._norm(self._middle_norm, middle_ND)
        fed_ND, fed = self._feed(normed_ND, dropout)
        ops.free(normed_ND)
        out_ND = self._plus(middle_ND, fed_ND)
        ops.free(middle_ND)
        return out_ND, BlockSaved(input_norm, attention, middle_norm, fed)

    def _backward_pre(
        self, gradients: Gradients, saved: BlockSaved, gradient_ND: Tensor, dropout: Dropout
    ) -> Tensor:
        ops = self._ops
        fed_ND = self._feed_backward(gradients, saved.feed_forward, gradient_ND, dropout)
        inner_ND = self._norm_backward(self._middle_norm, gradients, saved.middle_norm, fed_ND)
        middle_ND = self._plus(gradient_ND, inner_ND)
        ops.free(gradient_ND)
        attended_ND = self._attend_backward(gradients, saved.attention, middle_ND, dropout)
        inner_ND = self._norm_backward(self._input_norm, gradients, saved.input_norm, attended_ND)
        out_ND = self._plus(middle_ND, inner_ND)
        ops.free(middle_ND)
        return out_ND

    def _forward_post(self, x_ND: Tensor, dropout: Dropout) -> tuple[Tensor, BlockSaved]:
        """Norm(x + Attention(x)), then the same with the feed-forward network."""
        ops, compute = self._ops, self._precision.compute
        narrow_ND = ops.cast(x_ND, compute)
        attended_ND, attention = self._attend(narrow_ND, dropout)
        ops.free(narrow_ND)
        sum_ND = self._plus(x_ND, attended_ND)
        middle_ND, input_norm = self._norm(self._input_norm, sum_ND)
        ops.free(sum_ND)
        narrow_ND = ops.cast(middle_ND, compute)
        fed_ND, fed = self._feed(narrow_ND, dropout)
        ops.free(narrow_ND)
        sum_ND = self._plus(middle_ND, fed_ND)
        ops.free(middle_ND)
        out_ND, middle_norm = self._norm(self._middle_norm, sum_ND)
        ops.free(sum_ND)
        return out_ND, BlockSaved(input_norm, attention, middle_norm, fed)

    def _backward_post(
        self, gradients: Gradients, saved: BlockSaved, gradient_ND: Tensor, dropout: Dropout
    ) -> Tensor:
        ops = self._ops
        sum_ND = self._norm_backward(self._middle_norm, gradients, saved.middle_norm, gradient_ND)
        fed_ND = self._feed_backward(gradients, saved.feed_forward, sum_ND, dropout)
        middle_ND = self._plus(sum_ND, self._wide(fed_ND))
        ops.free(sum_ND)
        sum_ND = self._norm_backward(self._input_norm, gradients, saved.input_norm, middle_ND)
        attended_ND = self._attend_backward(gradients, saved.attention, sum_ND, dropout)
        out_ND = self._plus(sum_ND, self._wide(attended_ND))
        ops.free(sum_ND)
        return out_ND

    def _norm(self, layer: str, x_ND: Tensor) -> tuple[Tensor, NormSaved]:
        """Before a sublayer in the format that is multiplied, after one in the stream's."""
        dtype = self._precision.compute if self._pre else self._precision.stream
        return norm(self._ops, self._spec, self._parameters, layer, x_ND, dtype)

    def _norm_backward(
        self, layer: str, gradients: Gradients, saved: NormSaved, gradient_ND: Tensor
    ) -> Tensor:
        """Frees ``gradient_ND``."""
        out_ND = norm_backward(
            self._ops, self._spec, self._parameters, gradients, layer, saved, gradient_ND
        )
        self._ops.free(gradient_ND)
        return out_ND

    def _attend(self, x_ND: Tensor, dropout: Dropout) -> tuple[Tensor, AttentionSaved]:
        whole_ND, saved = self._attention.forward(self._number, x_ND, dropout)
        out_ND = dropout.apply(whole_ND, self._number, ATTENTION_OUTPUT)
        self._ops.free(whole_ND)
        return out_ND, saved

    def _attend_backward(
        self, gradients: Gradients, saved: AttentionSaved, gradient_ND: Tensor, dropout: Dropout
    ) -> Tensor:
        narrow_ND = self._thinned(gradient_ND, ATTENTION_OUTPUT, dropout)
        out_ND = self._attention.backward(self._number, gradients, saved, narrow_ND, dropout)
        self._ops.free(narrow_ND)
        return out_ND

    def _feed(self, x_ND: Tensor, dropout: Dropout) -> tuple[Tensor, FeedForwardSaved]:
        stream = self._precision.stream
        whole_ND, saved = feed_forward(
            self._ops, self._spec, self._parameters, self._mlp, x_ND, stream
        )
        out_ND = dropout.apply(whole_ND, self._number, FEED_FORWARD_OUTPUT)
        self._ops.free(whole_ND)
        return out_ND, saved

    def _feed_backward(
        self, gradients: Gradients, saved: FeedForwardSaved, gradient_ND: Tensor, dropout: Dropout
    ) -> Tensor:
        narrow_ND = self._thinned(gradient_ND, FEED_FORWARD_OUTPUT, dropout)
        out_ND = feed_forward_backward(
            self._ops, self._spec, self._parameters, gradients, self._mlp, saved, narrow_ND
        )
        self._ops.free(narrow_ND)
        return out_ND

    def _thinned(self, gradient_ND: Tensor, place: int, dropout: Dropout) -> Tensor:
        """A sublayer's gradient, through its dropout, in the format that is multiplied."""
        thinned_ND = dropout.apply(gradient_ND, self._number, place)
        narrow_ND = self._ops.cast(thinned_ND, self._precision.compute)
        self._ops.free(thinned_ND)
        return narrow_ND

    def _wide(self, x_ND: Tensor) -> Tensor:
        """x in the stream's format; frees x."""
        wide_ND = self._ops.cast(x_ND, self._precision.stream)
        self._ops.free(x_ND)
        return wide_ND

    def _plus(self, x_ND: Tensor, part_ND: Tensor) -> Tensor:
        """The sum; frees ``part_ND``."""
        total_ND = self._ops.add(x_ND, part_ND)
        self._ops.free(part_ND)
        return total_ND
