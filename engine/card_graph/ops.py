"""The operations that the decoder is written in: checked, counted, and few.

Every operation checks its operands, asks the kernels for the arithmetic, and enters the result
in the ledger. What they do not check is what the mathematics needs; what they do check is what
ttnn needs: four dimensions, operands of one number format, products of equally many matrices,
reshapes that keep every tile whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from engine.card_graph.kernels import Array, Bend, Binary, HostArrays, Kernels, Unary
from engine.card_graph.tensor import (
    TILE,
    Dtype,
    Ledger,
    Shape,
    Storage,
    Tensor,
    stored_bytes,
)


class Ops:
    """Operations on tensors through ``kernels``; ``ledger`` has the bytes alive in ``banks``.

    Results are new tensors; operands stay valid. Shapes are (A, B, rows, columns). ``allocated``
    tells how many bytes the device has dealt out, where there is one.
    """

    def __init__(
        self, kernels: Kernels, banks: int = 1, allocated: Callable[[], int] | None = None
    ) -> None:
        self.kernels, self.banks = kernels, banks
        self.ledger = Ledger(allocated)

    @property
    def host(self) -> HostArrays:
        """What makes arrays of the host."""
        return self.kernels.host

    def size_of(self, shape: Shape, dtype: Dtype) -> int:
        """What such a tensor is entered in the ledger with: the bytes that it takes."""
        return stored_bytes(shape, dtype, self.banks)

    # Between host and card

    def upload(self, array: Array, dtype: Dtype) -> Tensor:
        """An array of four dimensions on the card; ``ids`` are whole numbers from 0."""
        a, b, rows, columns = array.shape
        return self.make((a, b, rows, columns), dtype, lambda: array)

    def make(self, shape: Shape, dtype: Dtype, array: Callable[[], Array]) -> Tensor:
        """What ``array`` gives, of ``shape``, on the card; not asked where only memory counts."""
        return self._new(shape, dtype, self.kernels.upload(array, dtype))

    def download(self, x: Tensor) -> Array:
        """All numbers of ``x``, four-dimensional."""
        array = self.kernels.download(x.data)
        assert array.shape == x.shape, (array.shape, x.shape)
        return array

    def number(self, x: Tensor) -> float:
        """The only number of a (1, 1, 1, 1) tensor. Waits for the card."""
        return float(self.download(x)[0, 0, 0, 0])

    def free(self, *tensors: Tensor) -> None:
        """Let go of tensors now."""
        for tensor in tensors:
            tensor.free()

    def share(self, x: Tensor) -> Tensor:
        """Another owner of the same memory, to be freed apart from ``x``."""
        return Tensor(x.shape, x.dtype, x.storage, x.data)

    def keep_mask(self, shape: Shape, probability: float, seed: int) -> Tensor:
        """bf16: 0 with ``probability``, otherwise 1; one ``seed`` of 32 bits gives the same."""
        mask = self._new(shape, "bf16", self.kernels.keep_mask(shape, probability, seed))
        self._took_inside(self.size_of(shape, "bf16"))  # numbers drawn
        return mask

    # Elementwise

    def cast(self, x: Tensor, dtype: Dtype) -> Tensor:
        """``x`` in number format ``dtype``; it shares the memory of ``x`` where that has it."""
        if x.dtype == dtype:
            return self.share(x)
        return self._new(x.shape, dtype, self.kernels.cast(x.data, dtype))

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """a + b; a dimension of size 1 goes with any size."""
        return self._binary("add", a, b)

    def subtract(self, a: Tensor, b: Tensor) -> Tensor:
        """a - b, as ``add``."""
        return self._binary("subtract", a, b)

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """a · b elementwise, as ``add``."""
        return self._binary("multiply", a, b)

    def equal(self, a: Tensor, b: Tensor, dtype: Dtype) -> Tensor:
        """1 where a equals b, otherwise 0, in ``dtype``. Both fp32: exact up to 2²⁴."""
        assert a.dtype == b.dtype == "fp32"
        shape = _broadcast(a.shape, b.shape)
        return self._new(shape, dtype, self.kernels.equal(a.data, b.data, dtype))

    def scale(self, x: Tensor, factor: float) -> Tensor:
        """x · factor, a number of the host."""
        return self._like(x, self.kernels.scale(x.data, factor))

    def shift(self, x: Tensor, amount: float) -> Tensor:
        """x + amount, as ``scale``."""
        return self._like(x, self.kernels.shift(x.data, amount))

    def exp(self, x: Tensor) -> Tensor:
        """eˣ."""
        return self._unary("exp", x)

    def log(self, x: Tensor) -> Tensor:
        """Natural logarithm."""
        return self._unary("log", x)

    def reciprocal(self, x: Tensor) -> Tensor:
        """1 / x."""
        return self._unary("reciprocal", x)

    def sqrt(self, x: Tensor) -> Tensor:
        """√x."""
        return self._unary("sqrt", x)

    def rsqrt(self, x: Tensor) -> Tensor:
        """1 / √x."""
        return self._unary("rsqrt", x)

    def bend(self, name: Bend, x: Tensor) -> Tensor:
        """ReLU, exact GELU or SiLU."""
        return self._like(x, self.kernels.bend(name, x.data))

    def bend_backward(self, name: Bend, gradient: Tensor, x: Tensor) -> Tensor:
        """The gradient of ``bend``'s input ``x`` from that of its result."""
        assert gradient.shape == x.shape
        assert gradient.dtype == x.dtype
        return self._like(x, self.kernels.bend_backward(name, gradient.data, x.data))

    # Over rows and columns

    def matmul(
        self, a: Tensor, b: Tensor, *, transpose_a: bool = False, transpose_b: bool = False,
        dtype: Dtype | None = None,
    ) -> Tensor:  # fmt: skip
        """a b for each pair of matrices, added up in fp32, in ``dtype`` (None: that of a).

        (A, B, n, k) and (A, B, k, m) to (A, B, n, m); ``transpose_a``: a is (A, B, k, n).
        """
        assert a.dtype == b.dtype != "ids"
        assert a.shape[:2] == b.shape[:2], (a.shape, b.shape)
        rows, inner = (a.shape[3], a.shape[2]) if transpose_a else a.shape[2:]
        other, columns = (b.shape[3], b.shape[2]) if transpose_b else b.shape[2:]
        assert inner == other, (a.shape, b.shape)
        result = dtype or a.dtype
        data = self.kernels.matmul(a.data, b.data, transpose_a, transpose_b, result)
        return self._new((*a.shape[:2], rows, columns), result, data)

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """Over the columns (dim -1) or the rows (dim -2)."""
        assert dim in (-1, -2)
        a, b, rows, columns = x.shape
        shape = (a, b, rows, 1) if dim == -1 else (a, b, 1, columns)
        return self._new(shape, x.dtype, self.kernels.sum(x.data, dim))

    def mean(self, x: Tensor) -> Tensor:
        """Over the columns."""
        return self.scale(self.sum(x, -1), 1.0 / x.shape[3])

    def total(self, x: Tensor) -> Tensor:
        """Of one matrix, rows and columns: (1, 1, 1, 1)."""
        assert x.shape[:2] == (1, 1)
        return self.sum(self.sum(x, -1), -2)

    def max(self, x: Tensor) -> Tensor:
        """Over the columns."""
        return self._new((*x.shape[:3], 1), x.dtype, self.kernels.max(x.data))

    def softmax(self, x: Tensor) -> Tensor:
        """Over the columns."""
        return self._like(x, self.kernels.softmax(x.data))

    def embedding(self, ids: Tensor, table: Tensor) -> Tensor:
        """Rows of ``table`` (1, 1, V, D) for ``ids`` (1, 1, 1, N): (1, 1, N, D)."""
        assert ids.dtype == "ids"
        assert ids.shape[:3] == (1, 1, 1)
        shape = (1, 1, ids.shape[3], table.shape[3])
        rows = self._new(shape, table.dtype, self.kernels.embedding(ids.data, table.data))
        self._took_inside(self.size_of(table.shape, table.dtype))  # untiled
        return rows

    # Where numbers lie

    def transpose(self, x: Tensor) -> Tensor:
        """Rows and columns swapped, in new memory."""
        a, b, rows, columns = x.shape
        return self._new((a, b, columns, rows), x.dtype, self.kernels.transpose(x.data))

    def reshape(self, x: Tensor, shape: Shape) -> Tensor:
        """The same memory under another shape: columns stay, rows move by whole tiles."""
        assert math.prod(shape) == math.prod(x.shape), (x.shape, shape)
        assert shape[3] == x.shape[3], "a reshape keeps the columns"
        assert shape[2] % TILE == 0 == x.shape[2] % TILE, "a reshape keeps tiles whole"
        return Tensor(shape, x.dtype, x.storage, self.kernels.reshape(x.data, shape))

    def _binary(self, name: Binary, a: Tensor, b: Tensor) -> Tensor:
        assert a.dtype == b.dtype != "ids", (name, a.dtype, b.dtype)
        shape = _broadcast(a.shape, b.shape)
        return self._new(shape, a.dtype, self.kernels.binary(name, a.data, b.data))

    def _unary(self, name: Unary, x: Tensor) -> Tensor:
        return self._like(x, self.kernels.unary(name, x.data))

    def _like(self, x: Tensor, data: Any) -> Tensor:
        assert x.dtype != "ids"
        return self._new(x.shape, x.dtype, data)

    def _took_inside(self, count: int) -> None:
        """Enter memory that the last operation had for itself, and has given back."""
        self.ledger.pass_through(count)

    def _new(self, shape: Shape, dtype: Dtype, data: Any) -> Tensor:
        count = self.size_of(shape, dtype)
        storage = Storage(data, count, self.ledger, self.kernels.free)
        return Tensor(shape, dtype, storage, data)


def _broadcast(a: Shape, b: Shape) -> Shape:
    if a == b:
        return a
    assert all(m == n or 1 in (m, n) for m, n in zip(a, b, strict=True)), (a, b)
    one, two, three, four = (max(m, n) for m, n in zip(a, b, strict=True))
    return (one, two, three, four)
