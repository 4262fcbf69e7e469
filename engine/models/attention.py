"""Causal self-attention with any number of key/value heads."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.models.cache import KVCache
from engine.models.linear import Linear, to_compute_dtype
from engine.models.positions import alibi_bias, rotate, rotation_table
from engine.spec import ModelSpec

# What torch may choose among, where a run names its kernel.
_KERNELS = {
    "fused": [
        SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION,
    ],
    "materialised": [SDPBackend.MATH],
}  # fmt: skip


@dataclass(frozen=True)
class Surroundings:
    """What all layers share about where the tokens stand; made once a forward pass.

    Attributes:
        rotation: cosines and sines (T, 1, h/2) of RoPE, or None.
        mask: which scores count, (T, S) of bool, or what is added to them, (1, H, T, S);
            None: every token looks at all tokens up to itself (``causal``) or simply at all.
        causal: whether the plain causal mask, T = S, applies.
        in_fp32: whether scores are computed in fp32 though everything else is in 16 bits.
        kernel: "auto" (torch's choice), "fused", or "materialised" (with matrices of scores).
    """

    rotation: tuple[Tensor, Tensor] | None
    mask: Tensor | None
    causal: bool
    in_fp32: bool = False
    kernel: str = "auto"


def look_around(
    spec: ModelSpec, positions_T: Tensor, start: int, dtype: torch.dtype, *,
    in_fp32: bool = False, kernel: str = "auto",
) -> Surroundings:  # fmt: skip
    """The surroundings of tokens at ``positions_T``, the first of which is ``start``."""
    rotation = rotation_table(positions_T, spec, dtype) if spec.position == "rope" else None
    count = positions_T.shape[0]
    if start == 0 or count == 1:  # one new token may look at everything before it
        mask, causal = None, count > 1
    else:
        positions_S = torch.arange(start + count, device=positions_T.device)
        mask, causal = positions_T[:, None] >= positions_S[None, :], False
    if spec.position == "alibi":
        positions_S = torch.arange(start + count, device=positions_T.device)
        # A mask of four dimensions keeps the CPU on its fused kernel; three would not.
        mask, causal = alibi_bias(positions_T, positions_S, spec.num_heads)[None], False
        mask = mask if in_fp32 else mask.to(dtype)
    return Surroundings(rotation, mask, causal, in_fp32, kernel)


class CausalSelfAttention(nn.Module):
    """softmax(q kᵀ / √h + mask) v for each head, joined by an output projection.

    Vaswani et al. 2017; grouped key/value heads as in Ainslie et al. 2023
    (https://arxiv.org/abs/2305.13245): head i reads key/value head i // (H / K).

    Saved for the backward pass, in elements a token: the input D; q, k, v after rotation
    H·h + 2·K·h; the joined heads H·h and one fp32 log-sum-exp a head. No matrix of scores, where
    torch has a fused kernel (on the CPU not with dropout) and the run does not ask for one.
    """

    def __init__(self, spec: ModelSpec, layer: int) -> None:
        super().__init__()
        self.layer, self.dropout = layer, spec.dropout
        self.num_heads, self.num_kv_heads = spec.num_heads, spec.num_kv_heads
        self.head_size = spec.head_size
        d, bias = spec.hidden_dim, spec.qkv_bias
        self.q_proj = Linear(d, self.num_heads * self.head_size, bias=bias)
        self.k_proj = Linear(d, self.num_kv_heads * self.head_size, bias=bias)
        self.v_proj = Linear(d, self.num_kv_heads * self.head_size, bias=bias)
        self.o_proj = Linear(self.num_heads * self.head_size, d, bias=spec.attention_output_bias)

    def forward(self, x_BTD: Tensor, around: Surroundings, cache: KVCache | None = None) -> Tensor:
        q_BHTh, k_BKTh, v_BKTh = self.project(x_BTD, around)
        if cache is not None:
            k_BKTh, v_BKTh = cache.extend(self.layer, k_BKTh, v_BKTh)
        dropout = self.dropout if self.training else 0.0
        heads_BHTh = attend(q_BHTh, self.share(k_BKTh), self.share(v_BKTh), around, dropout)
        out_BTD: Tensor = self.o_proj(heads_BHTh.transpose(1, 2).flatten(2))
        return out_BTD

    def project(self, x_BTD: Tensor, around: Surroundings) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, h), keys and values (B, K, T, h), turned to their positions."""
        x_BTD = to_compute_dtype(x_BTD)
        split = (-1, self.head_size)
        q_BTHh: Tensor = self.q_proj(x_BTD).unflatten(-1, split)
        k_BTKh: Tensor = self.k_proj(x_BTD).unflatten(-1, split)
        v_BTKh: Tensor = self.v_proj(x_BTD).unflatten(-1, split)
        if around.rotation is not None:
            q_BTHh, k_BTKh = rotate(q_BTHh, *around.rotation), rotate(k_BTKh, *around.rotation)
        return q_BTHh.transpose(1, 2), k_BTKh.transpose(1, 2), v_BTKh.transpose(1, 2)

    def share(self, x_BKSh: Tensor) -> Tensor:
        """Give each of the H heads its key/value head: (B, K, S, h) to (B, H, S, h)."""
        if self.num_kv_heads == self.num_heads:
            return x_BKSh
        return x_BKSh.repeat_interleave(self.num_heads // self.num_kv_heads, dim=1)

    def weights(self, x_BTD: Tensor, around: Surroundings) -> Tensor:
        """How much each token looks at each other one: (B, H, T, T), rows sum to 1, fp32."""
        q_BHTh, k_BKTh, _ = self.project(x_BTD, around)
        scores_BHTT = q_BHTh.float() @ self.share(k_BKTh).float().mT * self.head_size**-0.5
        if around.mask is not None:
            scores_BHTT = scores_BHTT + around.mask.float()
        count = scores_BHTT.shape[-1]
        ahead_TT = torch.ones(count, count, dtype=torch.bool, device=x_BTD.device).triu(1)
        weights_BHTT: Tensor = scores_BHTT.masked_fill(ahead_TT, -torch.inf).softmax(dim=-1)
        return weights_BHTT


def attend(
    q_BHTh: Tensor, k_BHSh: Tensor, v_BHSh: Tensor, around: Surroundings, dropout: float
) -> Tensor:
    """softmax(q kᵀ / √h + mask) v by the kernel that ``around`` names: (B, H, T, h).

    Written out, 16-bit queries, keys and values are raised to fp32 by torch itself.
    """
    kind, dtype = q_BHTh.device.type, q_BHTh.dtype
    forced = _KERNELS.get(around.kernel)
    with nullcontext() if forced is None else sdpa_kernel(forced):
        if not around.in_fp32 or dtype == torch.float32:
            return F.scaled_dot_product_attention(
                q_BHTh, k_BHSh, v_BHSh, attn_mask=around.mask, dropout_p=dropout,
                is_causal=around.causal,
            )  # fmt: skip
        with torch.autocast(kind, enabled=False):  # which would cast back to 16 bits
            heads_BHTh = F.scaled_dot_product_attention(
                q_BHTh.float(), k_BHSh.float(), v_BHSh.float(), attn_mask=around.mask,
                dropout_p=dropout, is_causal=around.causal,
            )  # fmt: skip
    return heads_BHTh.to(dtype)
