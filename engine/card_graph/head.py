"""From features to logits, loss and the gradient of both."""

from __future__ import annotations

from engine.card_graph.constants import Batch, Constants
from engine.card_graph.linear import sum_of_rows
from engine.card_graph.ops import Ops
from engine.card_graph.parameters import Gradients, Parameters
from engine.card_graph.tensor import Tensor
from engine.spec import ModelSpec


class Head:
    """The output head of one design: its own matrix, or the embedding's where they are tied."""

    def __init__(
        self, ops: Ops, spec: ModelSpec, parameters: Parameters, constants: Constants
    ) -> None:
        self._ops, self._parameters, self._constants = ops, parameters, constants
        self._matrix = "model.embed_tokens.weight" if spec.tied_embeddings else "lm_head.weight"
        self._bias = "lm_head.bias" if spec.head_bias else None

    def logits(self, features_ND: Tensor) -> Tensor:
        """Scores (N, V), fp32; those of tokens that only fill the tile are FORBIDDEN."""
        ops = self._ops
        logits_NV = ops.matmul(
            features_ND, self._parameters.matrix(self._matrix), transpose_b=True, dtype="fp32"
        )
        if self._bias is not None:
            logits_NV = self._plus(logits_NV, self._parameters.vector(self._bias))
        if self._constants.allowed_V is not None:
            logits_NV = self._plus(logits_NV, self._constants.allowed_V)
        return logits_NV

    def loss(self, features_ND: Tensor, targets: Batch, share_N: Tensor) -> Tensor:
        """The sum of -ln p(target) · ``share_N`` over all tokens: (1, 1, 1, 1)."""
        loss, grown_NV, sums_N, _ = self._loss(features_ND, targets, share_N)
        self._ops.free(grown_NV, sums_N)
        return loss

    def loss_backward(
        self, gradients: Gradients, features_ND: Tensor, targets: Batch, share_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss, and the gradient of the features in their format; frees the features.

        The gradient of the logits is (p - onehot) · share (softmax and cross-entropy together).
        """
        ops = self._ops
        loss, grown_NV, sums_N, chosen_NV = self._loss(features_ND, targets, share_N)
        inverse_N = ops.reciprocal(sums_N)
        shares_NV = ops.multiply(grown_NV, inverse_N)
        ops.free(grown_NV, sums_N, inverse_N)
        errors_NV = ops.subtract(shares_NV, chosen_NV)
        ops.free(shares_NV, chosen_NV)
        weighted_NV = ops.multiply(errors_NV, share_N)
        ops.free(errors_NV)
        if self._bias is not None:
            gradients.add(self._bias, sum_of_rows(ops, weighted_NV))
        narrow_NV = ops.cast(weighted_NV, features_ND.dtype)
        ops.free(weighted_NV)
        gradients.add(
            self._matrix, ops.matmul(narrow_NV, features_ND, transpose_a=True, dtype="fp32")
        )
        out_ND = ops.matmul(narrow_NV, self._parameters.matrix(self._matrix))
        ops.free(narrow_NV, features_ND)
        return loss, out_ND

    def _loss(
        self, features_ND: Tensor, targets: Batch, share_N: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The loss, e^(logit - largest), its sums over V, and the one-hot targets."""
        ops = self._ops
        logits_NV = self.logits(features_ND)
        largest_N = ops.max(logits_NV)
        lowered_NV = ops.subtract(logits_NV, largest_N)
        ops.free(logits_NV, largest_N)
        chosen_NV = ops.equal(targets.column_N, self._constants.vocabulary_V, "fp32")
        picked_NV = ops.multiply(lowered_NV, chosen_NV)
        picked_N = ops.sum(picked_NV, -1)
        ops.free(picked_NV)
        grown_NV = ops.exp(lowered_NV)
        ops.free(lowered_NV)
        sums_N = ops.sum(grown_NV, -1)
        logs_N = ops.log(sums_N)
        surprise_N = ops.subtract(logs_N, picked_N)
        ops.free(logs_N, picked_N)
        weighted_N = ops.multiply(surprise_N, share_N)
        ops.free(surprise_N)
        loss = ops.sum(weighted_N, -2)
        ops.free(weighted_N)
        return loss, grown_NV, sums_N, chosen_NV

    def _plus(self, logits_NV: Tensor, row_V: Tensor) -> Tensor:
        """The sum; frees the logits."""
        total_NV = self._ops.add(logits_NV, row_V)
        self._ops.free(logits_NV)
        return total_NV
