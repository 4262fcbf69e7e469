"""Cross-entropy of a large vocabulary without the scores of all tokens at once.

The scores of every token, with the copies that a loss makes of them, are the largest thing in a
training step with a large vocabulary. Here a chunk of tokens gets its scores, its loss and its
gradients straight away, and the scores are let go. What stays until the backward pass is the
gradient of the features and that of the head, which are due then in any case; the backward pass
only multiplies both by the gradient of the loss. No product is computed twice.

Shapes: N tokens of the whole batch, C of them in a chunk, D features, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor
from torch.autograd.function import once_differentiable

from engine.cost.tape import HEAD_PIECE


def chunked_cross_entropy(
    x_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor, chunk: int
) -> Tensor:
    """Mean cross-entropy in nats (fp32; fp64 of fp64) of the scores ``x @ weightᵀ + bias``.

    Equals F.cross_entropy of F.linear for every ``chunk``, and so do its gradients. Matrices are
    multiplied in the format of ``x``, under autocast too; losses and the head's gradient are
    summed over chunks in fp32.

    The gradients are given away: a second backward pass through the same loss raises.
    """
    with torch.autocast(x_ND.device.type, enabled=False):
        if torch.is_grad_enabled():
            loss: Tensor = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
                x_ND, weight_VD, bias_V, targets_N, chunk
            )
            return loss
        head = _Head(x_ND, weight_VD, bias_V)
        return head.loss(targets_N, chunk, None)


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor,
        chunk: int,
    ) -> Tensor:  # fmt: skip
        head = _Head(x_ND, weight_VD, bias_V)
        gradients = _Gradients(x_ND, weight_VD, bias_V, head.exact)
        loss = head.loss(targets_N, chunk, gradients)
        ctx.save_for_backward(gradients.x_ND, gradients.weight_VD, gradients.bias_V)
        ctx.tokens, ctx.dtype = len(x_ND), weight_VD.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """In place: another matrix as large as the head's would cost what chunks have saved."""
        x_ND, weight_VD, bias_V = ctx.saved_tensors
        scale = gradient / ctx.tokens
        weight_VD = weight_VD.mul_(scale).to(ctx.dtype)
        bias_V = None if bias_V is None else bias_V.mul_(scale).to(ctx.dtype)
        return x_ND.mul_(scale), weight_VD, bias_V, None, None


class _Gradients:
    """Sums over the tokens so far, of features and head; not yet divided by their number."""

    def __init__(
        self, x_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, exact: torch.dtype
    ) -> None:
        self.x_ND = torch.empty_like(x_ND)
        self.weight_VD = torch.zeros_like(weight_VD, dtype=exact)
        self.bias_V = None if bias_V is None else torch.zeros_like(bias_V, dtype=exact)


class _Head:
    """Features, and the output head's weights in their format."""

    def __init__(self, x_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None) -> None:
        self.exact = torch.promote_types(x_ND.dtype, torch.float32)
        self.x_ND, self.weight_VD = x_ND, weight_VD.to(x_ND.dtype)
        self.bias_V = None if bias_V is None else bias_V.to(x_ND.dtype)

    def loss(self, targets_N: Tensor, chunk: int, gradients: _Gradients | None) -> Tensor:
        """The mean loss; adds to ``gradients`` where they are wanted."""
        tokens = len(self.x_ND)
        total = torch.zeros((), dtype=self.exact, device=self.x_ND.device)
        for start in range(0, tokens, chunk):
            total -= self._chunk(slice(start, start + chunk), targets_N, gradients)
        return total.div_(tokens)

    def _chunk(self, these: slice, targets_N: Tensor, gradients: _Gradients | None) -> Tensor:
        """The sum of the log probabilities of one chunk's targets."""
        targets_C1 = targets_N[these].unsqueeze(1)
        chances_CV = self._log_probabilities(these)
        found = chances_CV.gather(1, targets_C1)
        if gradients is None:
            return found.sum()
        chances_CV.exp_().scatter_(1, targets_C1, found.exp() - 1)  # now the scores' gradient
        if gradients.bias_V is not None:
            gradients.bias_V += chances_CV.sum(0)
        scores_CV = chances_CV.to(self.x_ND.dtype)
        del chances_CV
        torch.mm(scores_CV, self.weight_VD, out=gradients.x_ND[these])
        if scores_CV.dtype == self.exact:
            gradients.weight_VD.addmm_(scores_CV.t(), self.x_ND[these])
        else:
            _add_rounded(scores_CV.t() @ self.x_ND[these], gradients.weight_VD)
        return found.sum()

    def _log_probabilities(self, these: slice) -> Tensor:
        scores_CV = F.linear(self.x_ND[these], self.weight_VD, self.bias_V).to(self.exact)
        return scores_CV.log_softmax(1)


def _add_rounded(part_VD: Tensor, sum_VD: Tensor) -> None:
    """Add a 16-bit product to its fp32 sum, some rows at a time.

    Adding numbers of another format makes a copy of them in that of the sum: of all rows
    together that would take as much as a large vocabulary's scores.
    """
    count = max(1, HEAD_PIECE // sum_VD.shape[1])
    for start in range(0, len(sum_VD), count):
        rows = slice(start, start + count)
        sum_VD[rows] += part_VD[rows].to(sum_VD.dtype)
