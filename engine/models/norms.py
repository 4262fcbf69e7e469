"""The two normalizations, over the last dimension."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from engine.spec import ModelSpec


class _RootMeanSquare(torch.autograd.Function):
    """RMSNorm with its derivative written out, for the CPU, where torch has no kernel for it.

    There F.rms_norm is a chain of operations; this takes some 0.4 times as long, forward and
    backward, and keeps two thirds less: the input and one number a token.

    With n = x / rms(x) and g the gradient of n · w, the input's is (g·w − n · mean(g·w·n)) / rms(x)
    and the weight's is Σ g·n. 16-bit inputs are computed in fp32.
    """

    @staticmethod
    def forward(ctx: Any, x_D: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        wide_D = x_D.to(torch.promote_types(x_D.dtype, torch.float32))
        length_1 = torch.linalg.vector_norm(wide_D, dim=-1, keepdim=True)
        scale_1 = length_1.square_().div_(x_D.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x_D, scale_1, weight_D)
        y_D: Tensor = (wide_D * scale_1).mul_(weight_D).to(x_D.dtype)
        return y_D

    @staticmethod
    def backward(ctx: Any, gradient_D: Tensor) -> tuple[Tensor, Tensor, None]:
        x_D, scale_1, weight_D = ctx.saved_tensors
        gradient_D, width = gradient_D.to(scale_1.dtype), x_D.shape[-1]
        normed_D = x_D * scale_1
        product_D = gradient_D * normed_D
        weight_gradient_D = product_D.view(-1, width).sum(0).to(weight_D.dtype)
        mean_1 = (product_D @ weight_D.to(scale_1.dtype)).unsqueeze(-1).div_(width)
        del product_D
        input_gradient_D = gradient_D * weight_D
        input_gradient_D.addcmul_(normed_D, mean_1, value=-1).mul_(scale_1)
        return input_gradient_D.to(x_D.dtype), weight_gradient_D, None


class RMSNorm(nn.Module):
    """x / rms(x) · weight (Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x_D: Tensor) -> Tensor:
        if x_D.device.type != "cpu":  # where torch has one kernel for it
            return F.rms_norm(x_D, self.weight.shape, self.weight, self.eps)
        y_D: Tensor = _RootMeanSquare.apply(x_D, self.weight, self.eps)  # type: ignore[no-untyped-call]
        return y_D


class LayerNorm(nn.Module):
    """(x - mean) / std · weight + bias (Ba et al. 2016, https://arxiv.org/abs/1607.06450)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x_D: Tensor) -> Tensor:
        return F.layer_norm(x_D, self.weight.shape, self.weight, self.bias, self.eps)


def make_norm(spec: ModelSpec) -> RMSNorm | LayerNorm:
    """The norm that the spec names, as wide as the residual stream."""
    kind = RMSNorm if spec.norm == "rmsnorm" else LayerNorm
    return kind(spec.hidden_dim, spec.norm_eps)
