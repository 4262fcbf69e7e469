"""Causal self-attention, forward and backward (engine.models.attention).

The query heads of one key/value head lie one below the other: q is (B, K, G · T, h), so one
product with k (B, K, T, h) gives all their scores, and products over the rows add up the
gradients of the shared keys and values. Nothing is repeated for that.

The probabilities (B, H, T, T) are not kept for the backward pass but computed again, one layer at
a time: keeping those of all layers would take most of a card.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.card_graph.constants import Constants, Precision
from engine.card_graph.dropout import ATTENTION, Dropout
from engine.card_graph.layout import Sizes
from engine.card_graph.linear import linear, linear_backward
from engine.card_graph.ops import Ops
from engine.card_graph.parameters import Gradients, Parameters
from engine.card_graph.tensor import Tensor
from engine.spec import ModelSpec


class AttentionSaved(NamedTuple):
    """What the backward pass needs."""

    x: Tensor  # (N, D)
    q: Tensor  # (B, K, R, h), with R = G · T rows, divided by √h
    k: Tensor  # (B, K, T, h)
    v: Tensor  # (B, K, T, h)
    joined: Tensor  # (N, H · h): the heads side by side, as the output projection reads them


class Attention:
    """Attention of one design for sequences as long as ``constants`` are."""

    def __init__(
        self, ops: Ops, spec: ModelSpec, parameters: Parameters, constants: Constants,
        precision: Precision,
    ) -> None:  # fmt: skip
        self._ops, self._spec, self._parameters = ops, spec, parameters
        self._constants = constants
        self._wide, self._compute = precision.stream, precision.compute
        self._length = constants.stored_length
        self._rows = Sizes(spec).group * self._length
        self._scale = spec.head_size**-0.5

    def forward(self, number: int, x_ND: Tensor, dropout: Dropout) -> tuple[Tensor, AttentionSaved]:
        """The result of layer ``number`` in the wide format. Shares x."""
        layer = f"model.layers.{number}.self_attn"
        ops = self._ops
        straight_BHTh = self._project(f"{layer}.q_proj", x_ND, self._spec.num_heads, turn=True)
        q_BKRh = self._grouped(ops.scale(straight_BHTh, self._scale))
        ops.free(straight_BHTh)
        k_BKTh = self._project(f"{layer}.k_proj", x_ND, self._spec.num_kv_heads, turn=True)
        v_BKTh = self._project(f"{layer}.v_proj", x_ND, self._spec.num_kv_heads, turn=False)
        shares_BKRT = self._probabilities(q_BKRh, k_BKTh)
        narrow_BKRT = ops.cast(shares_BKRT, self._compute)
        ops.free(shares_BKRT)
        thinned_BKRT = dropout.thin(narrow_BKRT, number, ATTENTION)
        ops.free(narrow_BKRT)
        unscaled_BKRh = ops.matmul(thinned_BKRT, v_BKTh)
        ops.free(thinned_BKRT)
        heads_BKRh = dropout.scaled(unscaled_BKRh)
        ops.free(unscaled_BKRh)
        joined_N = self._join(self._single(heads_BKRh))
        ops.free(heads_BKRh)
        out_ND = linear(ops, self._parameters, f"{layer}.o_proj", joined_N, self._wide)
        return out_ND, AttentionSaved(ops.share(x_ND), q_BKRh, k_BKTh, v_BKTh, joined_N)

    def backward(
        self, number: int, gradients: Gradients, saved: AttentionSaved, gradient_ND: Tensor,
        dropout: Dropout,
    ) -> Tensor:  # fmt: skip
        """The gradient of x from that of the result, both in x's format; frees ``saved``."""
        layer = f"model.layers.{number}.self_attn"
        ops = self._ops
        joined_N = linear_backward(
            ops, self._parameters, gradients, f"{layer}.o_proj", saved.joined, gradient_ND
        )
        heads_BKRh = self._grouped(self._split(joined_N, self._spec.num_heads))
        ops.free(joined_N, saved.joined)
        q_BHTh, k_BKTh, v_BKTh = self._heads_backward(number, saved, heads_BKRh, dropout)
        parts = (("q_proj", q_BHTh, True), ("k_proj", k_BKTh, True), ("v_proj", v_BKTh, False))
        out_ND: Tensor | None = None
        for name, heads, turn in parts:
            part_ND = self._project_backward(
                f"{layer}.{name}", gradients, saved.x, heads, turn=turn
            )
            out_ND = part_ND if out_ND is None else self._sum(out_ND, part_ND)
        ops.free(saved.x)
        assert out_ND is not None
        return out_ND

    def _heads_backward(
        self, number: int, saved: AttentionSaved, heads_BKRh: Tensor, dropout: Dropout
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of q (B, H, T, h), k and v from that of the heads O, which is freed.

        With P the probabilities and O = P v: dv = Pᵀ dO; dP = dO vᵀ; the scores' gradient is
        P · (dP - Σ dP · P), and from it dq = dS k / √h, dk = dSᵀ (q / √h). With dropout, P is
        thinned everywhere but in the last product, and O scaled. Frees q, k and v of ``saved``.
        """
        ops = self._ops
        scaled_BKRh = dropout.scaled(heads_BKRh)
        ops.free(heads_BKRh)
        shares_BKRT = self._probabilities(saved.q, saved.k)
        thinned_BKRT = dropout.thin(shares_BKRT, number, ATTENTION)
        narrow_BKRT = ops.cast(thinned_BKRT, self._compute)
        v_BKTh = ops.matmul(narrow_BKRT, scaled_BKRh, transpose_a=True)
        ops.free(narrow_BKRT)
        gradient_BKRT = ops.matmul(scaled_BKRh, saved.v, transpose_b=True, dtype=self._wide)
        ops.free(scaled_BKRh, saved.v)
        weighted_BKRT = ops.multiply(gradient_BKRT, thinned_BKRT)
        ops.free(gradient_BKRT, thinned_BKRT)
        scores_BKRT = self._score_gradient(shares_BKRT, weighted_BKRT)
        ops.free(shares_BKRT, weighted_BKRT)
        q_BKRh = ops.scale(ops.matmul(scores_BKRT, saved.k), self._scale)
        ops.free(saved.k)
        k_BKTh = ops.matmul(scores_BKRT, saved.q, transpose_a=True)
        ops.free(scores_BKRT, saved.q)
        q_BHTh = self._single(q_BKRh)
        ops.free(q_BKRh)
        return q_BHTh, k_BKTh, v_BKTh

    def _project(self, layer: str, x_ND: Tensor, heads: int, *, turn: bool) -> Tensor:
        flat_N = linear(self._ops, self._parameters, layer, x_ND)
        split_BHTh = self._split(flat_N, heads)
        self._ops.free(flat_N)
        if not turn or self._constants.turn_hh is None:
            return split_BHTh
        turned_BHTh = self._rotate(split_BHTh, back=False)
        self._ops.free(split_BHTh)
        return turned_BHTh

    def _project_backward(
        self, layer: str, gradients: Gradients, x_ND: Tensor, gradient_BHTh: Tensor, *, turn: bool
    ) -> Tensor:
        """The part of x's gradient that comes through one projection; frees the heads' gradient."""
        ops = self._ops
        if turn and self._constants.turn_hh is not None:
            before = gradient_BHTh
            gradient_BHTh = self._rotate(before, back=True)
            ops.free(before)
        flat_N = self._join(gradient_BHTh)
        ops.free(gradient_BHTh)
        part_ND = linear_backward(ops, self._parameters, gradients, layer, x_ND, flat_N)
        ops.free(flat_N)
        return part_ND

    def _probabilities(self, q_BKRh: Tensor, k_BKTh: Tensor) -> Tensor:
        """softmax(q kᵀ + mask), (B, K, G · T, T), in the wide format; q is divided by √h."""
        ops = self._ops
        scores_BKRT = ops.matmul(q_BKRh, k_BKTh, transpose_b=True, dtype=self._wide)
        masked_BHTT = ops.add(self._single(scores_BKRT), self._constants.mask_HTT)
        ops.free(scores_BKRT)
        shares_BHTT = ops.softmax(masked_BHTT)
        ops.free(masked_BHTT)
        return self._grouped(shares_BHTT)

    def _score_gradient(self, shares_BKRT: Tensor, weighted_BKRT: Tensor) -> Tensor:
        """P · dP - P · Σ P · dP, in the format that is multiplied."""
        ops = self._ops
        sums_BKR = ops.sum(weighted_BKRT, -1)
        along_BKRT = ops.multiply(shares_BKRT, sums_BKR)
        ops.free(sums_BKR)
        scores_BKRT = ops.subtract(weighted_BKRT, along_BKRT)
        ops.free(along_BKRT)
        narrow_BKRT = ops.cast(scores_BKRT, self._compute)
        ops.free(scores_BKRT)
        return narrow_BKRT

    def _rotate(self, x_BHTh: Tensor, *, back: bool) -> Tensor:
        """RoPE, x · cos + (x turned a quarter) · sin; ``back``: its derivative."""
        ops, constants = self._ops, self._constants
        assert constants.cosines_Th is not None
        assert constants.sines_Th is not None
        along_BHTh = ops.multiply(x_BHTh, constants.cosines_Th)
        if back:
            weighted_BHTh = ops.multiply(x_BHTh, constants.sines_Th)
            across_BHTh = self._turn(weighted_BHTh, back=True)
            ops.free(weighted_BHTh)
        else:
            turned_BHTh = self._turn(x_BHTh, back=False)
            across_BHTh = ops.multiply(turned_BHTh, constants.sines_Th)
            ops.free(turned_BHTh)
        return self._sum(along_BHTh, across_BHTh)

    def _turn(self, x_BHTh: Tensor, *, back: bool) -> Tensor:
        """All pairs by a quarter, in one product."""
        assert self._constants.turn_hh is not None
        a, b, rows, columns = x_BHTh.shape
        flat = self._ops.reshape(x_BHTh, (1, 1, a * b * rows, columns))
        turned = self._ops.matmul(flat, self._constants.turn_hh, transpose_b=back)
        return self._ops.reshape(turned, x_BHTh.shape)

    def _split(self, x_N: Tensor, heads: int) -> Tensor:
        """(N, H · h) to (B, H, T, h), through two transposes that keep tiles whole."""
        ops, t = self._ops, self._length
        size, batch = x_N.shape[3] // heads, x_N.shape[2] // t
        lying = ops.transpose(ops.reshape(x_N, (batch, 1, t, heads * size)))
        apart = ops.reshape(lying, (batch, heads, size, t))
        ops.free(lying)
        return ops.transpose(apart)

    def _join(self, x_BHTh: Tensor) -> Tensor:
        """(B, H, T, h) to (N, H · h)."""
        ops = self._ops
        batch, heads, t, size = x_BHTh.shape
        lying = ops.transpose(x_BHTh)
        together = ops.reshape(lying, (batch, 1, heads * size, t))
        ops.free(lying)
        standing = ops.transpose(together)
        return ops.reshape(standing, (1, 1, batch * t, heads * size))

    def _grouped(self, x_BHT: Tensor) -> Tensor:
        """(B, H, T, ·) to (B, K, G · T, ·)."""
        shape = (x_BHT.shape[0], self._spec.num_kv_heads, self._rows, x_BHT.shape[3])
        return self._ops.reshape(x_BHT, shape)

    def _single(self, x_BKR: Tensor) -> Tensor:
        """(B, K, G · T, ·) to (B, H, T, ·)."""
        shape = (x_BKR.shape[0], self._spec.num_heads, self._length, x_BKR.shape[3])
        return self._ops.reshape(x_BKR, shape)

    def _sum(self, a: Tensor, b: Tensor) -> Tensor:
        """a + b; frees both."""
        total = self._ops.add(a, b)
        self._ops.free(a, b)
        return total
