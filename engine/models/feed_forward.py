"""The feed-forward network of a block."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from engine.models.linear import Linear, to_compute_dtype
from engine.spec import ModelSpec

_BENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "swiglu": F.silu,
    "geglu": F.gelu,
}


class FeedForward(nn.Module):
    """down(bend(up(x))), or down(bend(gate(x)) · up(x)) for the gated kinds.

    GELU is the exact one, x·Φ(x) (Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415);
    SwiGLU and GeGLU as in Shazeer 2020, https://arxiv.org/abs/2002.05202.

    Saved for the backward pass, in elements a token: the input D; ungated 2·M (up, bent);
    gated 4·M (gate, bent gate, up, their product). ReLU saves its output only: M.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        d, m, bias = spec.hidden_dim, spec.mlp_dim, spec.mlp_bias
        self.gate_proj = Linear(d, m, bias=bias) if spec.gated else None
        self.up_proj = Linear(d, m, bias=bias)
        self.down_proj = Linear(m, d, bias=bias)
        self.bend = _BENDS[spec.activation]

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTD = to_compute_dtype(x_BTD)
        up_BTM: Tensor = self.up_proj(x_BTD)
        if self.gate_proj is None:
            bent_BTM = self.bend(up_BTM)
        else:
            bent_BTM = self.bend(self.gate_proj(x_BTD)) * up_BTM
        out_BTD: Tensor = self.down_proj(bent_BTM)
        return out_BTD
