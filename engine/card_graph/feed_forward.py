"""The feed-forward network, forward and backward (engine.models.feed_forward)."""

from __future__ import annotations

from typing import NamedTuple

from engine.card_graph.kernels import Bend
from engine.card_graph.linear import linear, linear_backward
from engine.card_graph.ops import Ops
from engine.card_graph.parameters import Gradients, Parameters
from engine.card_graph.tensor import Dtype, Tensor
from engine.spec import ModelSpec

_BENDS: dict[str, Bend] = {"relu": "relu", "gelu": "gelu", "swiglu": "silu", "geglu": "gelu"}


class FeedForwardSaved(NamedTuple):
    """What the backward pass needs; the bent features are computed again."""

    x: Tensor  # (N, D)
    bent_from: Tensor  # (N, M): the gate, or without one ``up``
    up: Tensor | None  # (N, M), with a gate


def feed_forward(
    ops: Ops, spec: ModelSpec, parameters: Parameters, layer: str, x_ND: Tensor, dtype: Dtype
) -> tuple[Tensor, FeedForwardSaved]:
    """down(bend(up)) or down(bend(gate) · up), in ``dtype``. Shares x."""
    up_NM = linear(ops, parameters, f"{layer}.up_proj", x_ND)
    if spec.gated:
        gate_NM = linear(ops, parameters, f"{layer}.gate_proj", x_ND)
        saved = FeedForwardSaved(ops.share(x_ND), gate_NM, up_NM)
    else:
        saved = FeedForwardSaved(ops.share(x_ND), up_NM, None)
    inside_NM = _inside(ops, spec, saved)
    out_ND = linear(ops, parameters, f"{layer}.down_proj", inside_NM, dtype)
    ops.free(inside_NM)
    return out_ND, saved


def feed_forward_backward(
    ops: Ops, spec: ModelSpec, parameters: Parameters, gradients: Gradients, layer: str,
    saved: FeedForwardSaved, gradient_ND: Tensor,
) -> Tensor:  # fmt: skip
    """The gradient of x from that of the result, both in x's format; frees ``saved``."""
    bend = _BENDS[spec.activation]
    inside_NM = _inside(ops, spec, saved)
    gradient_NM = linear_backward(
        ops, parameters, gradients, f"{layer}.down_proj", inside_NM, gradient_ND
    )
    ops.free(inside_NM)
    if saved.up is None:
        up_gradient_NM = ops.bend_backward(bend, gradient_NM, saved.bent_from)
        ops.free(gradient_NM)
        out_ND = linear_backward(
            ops, parameters, gradients, f"{layer}.up_proj", saved.x, up_gradient_NM
        )
        ops.free(up_gradient_NM, saved.bent_from, saved.x)
        return out_ND
    bent_NM = ops.bend(bend, saved.bent_from)
    up_gradient_NM = ops.multiply(gradient_NM, bent_NM)
    ops.free(bent_NM)
    bent_gradient_NM = ops.multiply(gradient_NM, saved.up)
    ops.free(gradient_NM, saved.up)
    gate_gradient_NM = ops.bend_backward(bend, bent_gradient_NM, saved.bent_from)
    ops.free(bent_gradient_NM, saved.bent_from)
    up_ND = linear_backward(ops, parameters, gradients, f"{layer}.up_proj", saved.x, up_gradient_NM)
    ops.free(up_gradient_NM)
    gate_ND = linear_backward(
        ops, parameters, gradients, f"{layer}.gate_proj", saved.x, gate_gradient_NM
    )
    ops.free(gate_gradient_NM, saved.x)
    out_ND = ops.add(up_ND, gate_ND)
    ops.free(up_ND, gate_ND)
    return out_ND


def _inside(ops: Ops, spec: ModelSpec, saved: FeedForwardSaved) -> Tensor:
    """What ``down`` reads."""
    bent_NM = ops.bend(_BENDS[spec.activation], saved.bent_from)
    if saved.up is None:
        return bent_NM
    inside_NM = ops.multiply(bent_NM, saved.up)
    ops.free(bent_NM)
    return inside_NM
