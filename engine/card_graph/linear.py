"""Matrix products with weights, and their derivatives."""

from __future__ import annotations

from engine.card_graph.ops import Ops
from engine.card_graph.parameters import Gradients, Parameters
from engine.card_graph.tensor import Dtype, Tensor


def linear(
    ops: Ops, parameters: Parameters, layer: str, x_N: Tensor, dtype: Dtype | None = None
) -> Tensor:
    """x Wᵀ + b of layer ``layer`` ("model.layers.0.mlp.up_proj"), in ``dtype`` (None: x's)."""
    matrix = parameters.matrix(f"{layer}.weight")
    product_N = ops.matmul(x_N, matrix, transpose_b=True, dtype=dtype)
    if f"{layer}.bias" not in parameters:
        return product_N
    bias = ops.cast(parameters.vector(f"{layer}.bias"), product_N.dtype)
    sum_N = ops.add(product_N, bias)
    ops.free(product_N, bias)
    return sum_N


def linear_backward(
    ops: Ops, parameters: Parameters, gradients: Gradients, layer: str,
    x_N: Tensor, gradient_N: Tensor,
) -> Tensor:  # fmt: skip
    """The gradient of x; that of W, gᵀ x, and of b, the sum of g, are added to ``gradients``."""
    weight_gradient = ops.matmul(gradient_N, x_N, transpose_a=True, dtype="fp32")
    gradients.add(f"{layer}.weight", weight_gradient)
    if f"{layer}.bias" in parameters:
        gradients.add(f"{layer}.bias", sum_of_rows(ops, gradient_N))
    return ops.matmul(gradient_N, parameters.matrix(f"{layer}.weight"))


def sum_of_rows(ops: Ops, x_N: Tensor) -> Tensor:
    """One fp32 row: over thousands of rows a bf16 sum would stand still."""
    wide_N = ops.cast(x_N, "fp32")
    row = ops.sum(wide_N, -2)
    ops.free(wide_N)
    return row
