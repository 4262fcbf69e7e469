"""The kernels in numpy: 64 bits to prove the mathematics, or rounded as a card rounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.tenstorrent import host_arrays
from engine.card_graph.kernels import Array, Bend, Binary, HostArrays, Unary
from engine.card_graph.ops import Ops
from engine.card_graph.tensor import Dtype, Shape, Tensor

Numbers = NDArray[np.float64]
_BINARY: dict[Binary, Any] = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply}
_erf = np.frompyfunc(math.erf, 1, 1)


def _normal_cdf(x: Numbers) -> Numbers:
    return 0.5 * (1.0 + np.asarray(_erf(x / math.sqrt(2.0)), np.float64))


def _sigmoid(x: Numbers) -> Numbers:
    with np.errstate(over="ignore"):  # e^-x = inf gives the right 0
        return 1.0 / (1.0 + np.exp(-x))


def round_to(x: Numbers, dtype: Dtype) -> Numbers:
    """Each number as the nearest one of ``dtype``, ties to even; in 64 bits still."""
    single = x.astype(np.float32)
    if dtype == "bf16":
        bits = single.view(np.uint32)
        bits = bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))
        single = (bits & np.uint32(0xFFFF0000)).view(np.float32)
    return single.astype(np.float64)


class NumpyKernels:
    """Arrays of 64 bits, whatever number format an operation asks for."""

    host: HostArrays = host_arrays

    def upload(self, make: Callable[[], Array], dtype: Dtype) -> Array:
        """A copy."""
        return np.array(make(), np.int64 if dtype == "ids" else np.float64)

    def download(self, data: Array) -> Array:
        """A copy."""
        return np.array(data)

    def free(self, data: Array) -> None:
        """Nothing: numpy frees what nothing refers to."""

    def cast(self, x: Numbers, dtype: Dtype) -> Numbers:
        """A copy."""
        return np.array(x)

    def binary(self, name: Binary, a: Numbers, b: Numbers) -> Numbers:
        """a + b, a - b or a · b."""
        result: Numbers = _BINARY[name](a, b)
        return result

    def equal(self, a: Numbers, b: Numbers, dtype: Dtype) -> Numbers:
        """1.0 where equal."""
        return np.asarray(a == b, np.float64)

    def scale(self, x: Numbers, factor: float) -> Numbers:
        """x · factor."""
        return x * factor

    def shift(self, x: Numbers, amount: float) -> Numbers:
        """x + amount."""
        return x + amount

    def matmul(
        self, a: Numbers, b: Numbers, transpose_a: bool, transpose_b: bool, dtype: Dtype
    ) -> Numbers:
        """a b."""
        left = a.swapaxes(-1, -2) if transpose_a else a
        right = b.swapaxes(-1, -2) if transpose_b else b
        product: Numbers = left @ right
        return product

    def sum(self, x: Numbers, dim: int) -> Numbers:
        """Over ``dim``, which stays."""
        total: Numbers = x.sum(axis=dim, keepdims=True)
        return total

    def max(self, x: Numbers) -> Numbers:
        """Over the last dimension, which stays."""
        largest: Numbers = x.max(axis=-1, keepdims=True)
        return largest

    def unary(self, name: Unary, x: Numbers) -> Numbers:
        """eˣ, ln x, 1/x, √x or 1/√x."""
        if name == "rsqrt":
            return 1.0 / np.sqrt(x)
        result: Numbers = getattr(np, name)(x)
        return result

    def softmax(self, x: Numbers) -> Numbers:
        """Over the last dimension."""
        grown = np.exp(x - x.max(axis=-1, keepdims=True))
        shares: Numbers = grown / grown.sum(axis=-1, keepdims=True)
        return shares

    def bend(self, name: Bend, x: Numbers) -> Numbers:
        """max(x, 0), x · Φ(x) or x · σ(x)."""
        if name == "relu":
            return np.maximum(x, 0.0)
        return x * (_normal_cdf(x) if name == "gelu" else _sigmoid(x))

    def bend_backward(self, name: Bend, gradient: Numbers, x: Numbers) -> Numbers:
        """Slopes: x > 0; Φ(x) + x φ(x); σ(x) (1 + x (1 - σ(x)))."""
        if name == "relu":
            return gradient * (x > 0)
        if name == "gelu":
            density = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
            return gradient * (_normal_cdf(x) + x * density)
        share = _sigmoid(x)
        return gradient * share * (1.0 + x * (1.0 - share))

    def transpose(self, x: Numbers) -> Numbers:
        """The last two dimensions swapped."""
        return np.ascontiguousarray(x.swapaxes(-1, -2))

    def reshape(self, x: Numbers, shape: Shape) -> Numbers:
        """Another view."""
        return x.reshape(shape)

    def keep_mask(self, shape: Shape, probability: float, seed: int) -> Numbers:
        """From numpy's generator."""
        drawn = np.random.default_rng(seed).random(shape)
        return np.asarray(drawn >= probability, np.float64)

    def embedding(self, ids: NDArray[np.int64], table: Numbers) -> Numbers:
        """Rows of the table."""
        rows: Numbers = table[:, :, ids[0, 0, 0]]
        return rows


class RoundedOps(Ops):
    """Operations in numpy whose every result is rounded to its number format.

    They imitate a card whose operations are exact but for their results' formats; a card's own
    are less exact than that.
    """

    def __init__(self, banks: int = 1) -> None:
        super().__init__(NumpyKernels(), banks)

    def _new(self, shape: Shape, dtype: Dtype, data: Any) -> Tensor:
        return super()._new(shape, dtype, data if dtype == "ids" else round_to(data, dtype))
