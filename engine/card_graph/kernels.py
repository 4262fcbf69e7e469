"""What a set of kernels must be able to do: the arithmetic behind engine.card_graph.ops.

Kernels are given the data of valid operands (``Ops`` has checked shapes and number formats) and
return new data of the shape that ``Ops`` has worked out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from engine.card_graph.layout import Placement
from engine.card_graph.tensor import Dtype, Shape
from engine.spec import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Ids = NDArray[np.integer]
else:  # nothing here needs numpy when it runs
    Array = Ids = Any
Binary = Literal["add", "subtract", "multiply"]
Unary = Literal["exp", "log", "reciprocal", "sqrt", "rsqrt"]
Bend = Literal["relu", "gelu", "silu"]
BENDS: tuple[Bend, ...] = ("relu", "gelu", "silu")


class HostArrays(Protocol):
    """Arrays that are made on the host (engine.backends.tenstorrent.host_arrays).

    What only counts memory never asks for one.
    """

    def rotation_tables(self, spec: ModelSpec, length: int) -> tuple[Array, Array]:
        """Cosines and sines of RoPE, two of (T, h)."""

    def quarter_turn(self, spec: ModelSpec) -> Array:
        """The matrix (h, h) that turns each pair of features by a quarter."""

    def score_mask(self, spec: ModelSpec, length: int) -> Array:
        """What is added to the scores: (1, T, T), or with ALiBi (H, T, T)."""

    def sinusoidal_table(self, spec: ModelSpec, length: int) -> Array:
        """Vectors added to the embeddings (T, D)."""

    def vocabulary_mask(self, spec: ModelSpec) -> Array:
        """What is added to the logits (V,)."""

    def counting(self, count: int) -> Array:
        """0, 1, … (count,)."""

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """fp32."""

    def filled(self, shape: Shape, value: float) -> Array:
        """One value everywhere."""

    def flat_ids(self, ids_BT: Ids, filling: int) -> Ids:
        """Each sequence followed by ``filling`` times id 0: (N,)."""

    def more_rows(self, ids_BT: Ids, rows: int) -> Ids:
        """``rows`` sequences of id 0 behind the others."""

    def longer(self, ids_T: Ids, tokens: int) -> Ids:
        """``tokens`` times id 0 behind the others."""

    def places(self, rows: int, length: int) -> Ids:
        """The position of every token (B, T)."""

    def shares(self, rows: int, length: int, filling: int, count: int) -> Array:
        """What each token counts, (1, 1, N, 1): 1 / (B · T · count), and what only fills 0.

        The last ``filling`` of ``rows`` sequences fill, and positions from ``length`` on.
        """

    def put(self, place: Placement, weight: Array) -> Array:
        """A weight's array for the card; ValueError for one of another shape."""

    def take(self, place: Placement, stored: Array) -> Array:
        """What ``put`` was given."""


class Kernels(Protocol):
    """Arithmetic on data of one kind: numpy arrays, ttnn tensors, or nothing at all.

    The comments say which ttnn operation stands behind each. All were seen to compute what numpy
    computes, in fp32 and bf16 (embedding and masks in bf16), on simulated Wormhole and Blackhole
    chips (LOG.md has the errors); no real chip has run them yet.
    """

    @property
    def host(self) -> HostArrays:
        """What makes arrays for ``upload``."""

    def upload(self, make: Callable[[], Array], dtype: Dtype) -> Any:
        """Data of the array that ``make`` gives, four-dimensional. (Tensor)"""

    def download(self, data: Any) -> NDArray[np.float32] | NDArray[np.float64]:
        """Data as an array. (to_torch or to_numpy)"""

    def free(self, data: Any) -> None:
        """Give the memory back. (deallocate)"""

    def cast(self, x: Any, dtype: Dtype) -> Any:
        """``x`` in another number format. (typecast)"""

    def binary(self, name: Binary, a: Any, b: Any) -> Any:
        """Elementwise with broadcasting. (add, subtract, multiply)"""

    def equal(self, a: Any, b: Any, dtype: Dtype) -> Any:
        """1 where equal, otherwise 0, with broadcasting. (eq)"""

    def scale(self, x: Any, factor: float) -> Any:
        """``x`` · ``factor``. (multiply by a number)"""

    def shift(self, x: Any, amount: float) -> Any:
        """``x`` + ``amount``. (add of a number)"""

    def matmul(self, a: Any, b: Any, transpose_a: bool, transpose_b: bool, dtype: Dtype) -> Any:
        """Products of the last two dimensions, one for each of the first two. (matmul)"""

    def sum(self, x: Any, dim: int) -> Any:
        """Over dimension -1 or -2, which stays with size 1. (sum)"""

    def max(self, x: Any) -> Any:
        """Over the last dimension, which stays with size 1. (max)"""

    def unary(self, name: Unary, x: Any) -> Any:
        """Elementwise. (exp, log, reciprocal, sqrt, rsqrt)"""

    def softmax(self, x: Any) -> Any:
        """Over the last dimension, safe for large numbers. (softmax)"""

    def bend(self, name: Bend, x: Any) -> Any:
        """ReLU, exact GELU or SiLU. (relu, gelu, silu)"""

    def bend_backward(self, name: Bend, gradient: Any, x: Any) -> Any:
        """``gradient`` times the slope at ``x``. (relu_bw, gelu_bw, silu_bw)"""

    def transpose(self, x: Any) -> Any:
        """The last two dimensions swapped. (transpose)"""

    def reshape(self, x: Any, shape: Shape) -> Any:
        """The same memory under another shape of whole tiles. (reshape)"""

    def keep_mask(self, shape: Shape, probability: float, seed: int) -> Any:
        """bf16: 1, or with ``probability`` 0; the same for one seed. (rand, ge)"""

    def embedding(self, ids: Any, table: Any) -> Any:
        """The row of ``table`` for each id. (embedding)"""
