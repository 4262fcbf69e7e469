"""The two normalizations, over the last dimension."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from engine.spec import ModelSpec


class RMSNorm(nn.Module):
    """x / rms(x) · weight (Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x_D: Tensor) -> Tensor:
        return F.rms_norm(x_D, self.weight.shape, self.weight, self.eps)


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
