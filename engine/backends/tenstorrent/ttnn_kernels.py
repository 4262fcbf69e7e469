"""The kernels of a Tenstorrent card, through ttnn. The only file that knows ttnn.

Written against ttnn 0.81.1; 0.77.0 takes the same calls. On simulated Wormhole and Blackhole chips
every operation computes what numpy computes, within its number format, and models learn as in
numpy. No real chip has run this yet, and ``self_check`` asks each one that does.

Matrices are multiplied in fidelity HiFi4 (all bits of a bf16 number take part) and added up in
fp32; sums and softmax too. Tensors lie in DRAM, interleaved.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.tenstorrent import host_arrays
from engine.card_graph.kernels import Array, Bend, Binary, HostArrays, Unary
from engine.card_graph.ops import Ops
from engine.card_graph.tensor import Dtype, Shape


class TtnnKernels:
    """Kernels on an open ttnn device. Loads ttnn when it is made."""

    host: HostArrays = host_arrays

    def __init__(self, device: Any) -> None:
        import ttnn

        self._ttnn, self._device = ttnn, device
        self._dtypes = {"fp32": ttnn.float32, "bf16": ttnn.bfloat16, "ids": ttnn.uint32}
        self._exact = ttnn.init_device_compute_kernel_config(
            device.arch(), math_fidelity=ttnn.MathFidelity.HiFi4, math_approx_mode=False,
            fp32_dest_acc_en=True, packer_l1_acc=True,
        )  # fmt: skip

    def upload(self, make: Callable[[], Array], dtype: Dtype) -> Any:
        """Numbers in tiles; ids as one row of uint32, (1, N)."""
        ttnn = self._ttnn
        if dtype == "ids":
            ids = np.ascontiguousarray(make(), np.uint32).reshape(1, -1)
            return ttnn.Tensor(
                ids, data_type=ttnn.uint32, device=self._device, layout=ttnn.ROW_MAJOR_LAYOUT
            )
        numbers = np.ascontiguousarray(make(), np.float32)
        return ttnn.Tensor(
            numbers, data_type=self._dtypes[dtype], device=self._device, layout=ttnn.TILE_LAYOUT
        )

    def download(self, data: Any) -> NDArray[np.float32]:
        """In fp32, which numpy knows. Waits for the card."""
        wide = data
        if data.dtype == self._ttnn.bfloat16:
            wide = self._ttnn.typecast(data, self._ttnn.float32)
        array: NDArray[np.float32] = wide.cpu().to_numpy()
        return array

    def free(self, data: Any) -> None:
        """Give the memory back now."""
        self._ttnn.deallocate(data)

    def cast(self, x: Any, dtype: Dtype) -> Any:
        """Rounds to the nearest number."""
        return self._ttnn.typecast(x, self._dtypes[dtype])

    def binary(self, name: Binary, a: Any, b: Any) -> Any:
        """Two fp32 operands go through the vector unit, whose arithmetic is fp32."""
        ttnn = self._ttnn
        if name == "add":
            return ttnn.add(a, b)
        return ttnn.subtract(a, b) if name == "subtract" else ttnn.multiply(a, b)

    def equal(self, a: Any, b: Any, dtype: Dtype) -> Any:
        """1 or 0 in ``dtype``."""
        return self._ttnn.eq(a, b, dtype=self._dtypes[dtype])

    def scale(self, x: Any, factor: float) -> Any:
        """By a number."""
        return self._ttnn.multiply(x, factor)

    def shift(self, x: Any, amount: float) -> Any:
        """By a number."""
        return self._ttnn.add(x, amount)

    def matmul(self, a: Any, b: Any, transpose_a: bool, transpose_b: bool, dtype: Dtype) -> Any:
        """HiFi4, added up in fp32."""
        return self._ttnn.matmul(
            a, b, transpose_a=transpose_a, transpose_b=transpose_b, dtype=self._dtypes[dtype],
            compute_kernel_config=self._exact,
        )  # fmt: skip

    def sum(self, x: Any, dim: int) -> Any:
        """Added up in fp32."""
        return self._ttnn.sum(x, dim=dim, keepdim=True, compute_kernel_config=self._exact)

    def max(self, x: Any) -> Any:
        """Over the last dimension."""
        return self._ttnn.max(x, dim=-1, keepdim=True)

    def unary(self, name: Unary, x: Any) -> Any:
        """The accurate variants, which are ttnn's defaults."""
        ttnn = self._ttnn
        operations = {
            "exp": ttnn.exp, "log": ttnn.log, "reciprocal": ttnn.reciprocal, "sqrt": ttnn.sqrt,
            "rsqrt": ttnn.rsqrt,
        }  # fmt: skip
        return operations[name](x)

    def softmax(self, x: Any) -> Any:
        """The largest number is subtracted first."""
        return self._ttnn.softmax(x, dim=-1, compute_kernel_config=self._exact, numeric_stable=True)

    def bend(self, name: Bend, x: Any) -> Any:
        """GELU by its default, the exact one."""
        ttnn = self._ttnn
        operations = {"relu": ttnn.relu, "gelu": ttnn.gelu, "silu": ttnn.silu}
        return operations[name](x)

    def bend_backward(self, name: Bend, gradient: Any, x: Any) -> Any:
        """GELU's by its default, the exact one."""
        ttnn = self._ttnn
        operations = {"relu": ttnn.relu_bw, "gelu": ttnn.gelu_bw, "silu": ttnn.silu_bw}
        (result,) = operations[name](gradient, x)
        return result

    def transpose(self, x: Any) -> Any:
        """Tile by tile."""
        return self._ttnn.transpose(x, -2, -1)

    def reshape(self, x: Any, shape: Shape) -> Any:
        """A view: nothing moves where columns stay and rows move by whole tiles."""
        return self._ttnn.reshape(x, shape)

    def keep_mask(self, shape: Shape, probability: float, seed: int) -> Any:
        """Of uniform numbers, which ttnn seeds differently on every core.

        ttnn.experimental.dropout gives all cores one seed: each would draw the same mask for its
        part of the tensor.
        """
        ttnn = self._ttnn
        drawn = ttnn.rand(
            shape, self._device, dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, seed=seed or 1
        )  # fmt: skip
        mask = ttnn.ge(drawn, probability)
        ttnn.deallocate(drawn)
        return mask

    def embedding(self, ids: Any, table: Any) -> Any:
        """Needs the table row by row: a copy for the time of the operation."""
        ttnn = self._ttnn
        rows = ttnn.to_layout(table, ttnn.ROW_MAJOR_LAYOUT)
        found = ttnn.embedding(ids, rows, layout=ttnn.TILE_LAYOUT)
        ttnn.deallocate(rows)
        count, width = found.shape[-2], found.shape[-1]
        return ttnn.reshape(found, (1, 1, count, width))


def versions() -> Mapping[str, str]:
    """The version of ttnn; empty where it is not installed as a package."""
    try:
        return {"ttnn": importlib.metadata.version("ttnn")}
    except importlib.metadata.PackageNotFoundError:
        return {}


def _allocated(device: Any) -> int:
    """Bytes of DRAM that ttnn's allocator has dealt out."""
    import ttnn

    view = ttnn.get_memory_view(device, ttnn.BufferType.DRAM)
    return int(view.total_bytes_allocated_per_bank) * int(view.num_banks)


@contextmanager
def opened(device_id: int) -> Iterator[Ops]:
    """Operations on the card ``device_id``, which is closed afterwards.

    Raises ImportError without ttnn and RuntimeError for a card that cannot be opened.
    """
    import ttnn

    device = ttnn.open_device(device_id=device_id)
    try:
        banks = ttnn.get_memory_view(device, ttnn.BufferType.DRAM).num_banks
        yield Ops(TtnnKernels(device), banks, lambda: _allocated(device))
    finally:
        ttnn.close_device(device)
