"""RMSNorm and LayerNorm, forward and backward, in fp32 whatever comes in."""

from __future__ import annotations

from typing import NamedTuple

from engine.card_graph.ops import Ops
from engine.card_graph.parameters import Gradients, Parameters
from engine.card_graph.tensor import Dtype, Tensor
from engine.spec import ModelSpec


class NormSaved(NamedTuple):
    """What the backward pass needs: the input (shared, not copied) and one number a token."""

    x: Tensor  # (N, D)
    scale: Tensor  # (N,): 1 / rms, or 1 / standard deviation


def norm(
    ops: Ops, spec: ModelSpec, parameters: Parameters, layer: str, x_ND: Tensor, dtype: Dtype
) -> tuple[Tensor, NormSaved]:
    """n · w (+ b) in ``dtype``, n = x / rms(x) or (x - mean) / std (engine.models.norms)."""
    centred_ND = _centred(ops, spec, x_ND)
    squares_ND = ops.multiply(centred_ND, centred_ND)
    scale_N = ops.rsqrt(ops.shift(ops.mean(squares_ND), spec.norm_eps))
    ops.free(squares_ND)
    normed_ND = ops.multiply(centred_ND, scale_N)
    ops.free(centred_ND)
    result_ND = ops.multiply(normed_ND, parameters.vector(f"{layer}.weight"))
    ops.free(normed_ND)
    if f"{layer}.bias" in parameters:
        scaled_ND = result_ND
        result_ND = ops.add(scaled_ND, parameters.vector(f"{layer}.bias"))
        ops.free(scaled_ND)
    out_ND = ops.cast(result_ND, dtype)
    ops.free(result_ND)
    return out_ND, NormSaved(ops.share(x_ND), scale_N)


def norm_backward(
    ops: Ops, spec: ModelSpec, parameters: Parameters, gradients: Gradients, layer: str,
    saved: NormSaved, gradient_ND: Tensor,
) -> Tensor:  # fmt: skip
    """The gradient of x, in the format of x; frees ``saved``.

    With u the gradient of n: (u - n · mean(u · n)) · scale for RMSNorm; LayerNorm subtracts
    mean(u) too. The weight's is Σ g · n, the bias's Σ g.
    """
    wide_ND = ops.cast(gradient_ND, "fp32")
    if f"{layer}.bias" in parameters:
        gradients.add(f"{layer}.bias", ops.sum(wide_ND, -2))
    centred_ND = _centred(ops, spec, saved.x)
    normed_ND = ops.multiply(centred_ND, saved.scale)
    ops.free(centred_ND)
    product_ND = ops.multiply(wide_ND, normed_ND)
    gradients.add(f"{layer}.weight", ops.sum(product_ND, -2))
    ops.free(product_ND)
    inner_ND = ops.multiply(wide_ND, parameters.vector(f"{layer}.weight"))
    ops.free(wide_ND)
    result_ND = _through_scale(ops, spec, inner_ND, normed_ND, saved.scale)
    out_ND = ops.cast(result_ND, saved.x.dtype)
    ops.free(result_ND, *saved)
    return out_ND


def _centred(ops: Ops, spec: ModelSpec, x_ND: Tensor) -> Tensor:
    """x in fp32, for LayerNorm without its mean."""
    wide_ND = ops.cast(x_ND, "fp32")
    if spec.norm == "rmsnorm":
        return wide_ND
    mean_N = ops.mean(wide_ND)
    centred_ND = ops.subtract(wide_ND, mean_N)
    ops.free(wide_ND, mean_N)
    return centred_ND


def _through_scale(
    ops: Ops, spec: ModelSpec, inner_ND: Tensor, normed_ND: Tensor, scale_N: Tensor
) -> Tensor:
    """(u - n · mean(u · n) [- mean(u)]) · scale; frees u and n."""
    product_ND = ops.multiply(inner_ND, normed_ND)
    share_N = ops.mean(product_ND)
    ops.free(product_ND)
    along_ND = ops.multiply(normed_ND, share_N)
    ops.free(normed_ND, share_N)
    across_ND = ops.subtract(inner_ND, along_ND)
    ops.free(along_ND)
    if spec.norm == "layernorm":
        mean_N = ops.mean(inner_ND)
        before_ND = across_ND
        across_ND = ops.subtract(before_ND, mean_N)
        ops.free(before_ND, mean_N)
    ops.free(inner_ND)
    result_ND = ops.multiply(across_ND, scale_N)
    ops.free(across_ND)
    return result_ND
