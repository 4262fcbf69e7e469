"""Tensors on the card, and the ledger of what they take there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

Dtype = Literal["fp32", "bf16", "ids"]
Shape = tuple[int, int, int, int]

TILE = 32
ROW_ALIGNMENT = 64
NUMBER_BYTES: dict[Dtype, int] = {"fp32": 4, "bf16": 2, "ids": 4}


def whole_tiles(size: int) -> int:
    """``size`` rounded up to a multiple of 32."""
    return -(-size // TILE) * TILE


def stored_bytes(shape: Shape, dtype: Dtype, banks: int = 1) -> int:
    """What the card's memory gives up for it: whole tiles of 32 × 32 numbers, spread over banks.

    ttnn deals a tensor's tiles out to the ``banks`` of DRAM and takes the same amount of each,
    so a single tile takes one of every bank. Token ids are not kept in tiles but as one row of
    4 bytes each, padded to 64.
    """
    if dtype == "ids":
        row = -(-math.prod(shape) * NUMBER_BYTES[dtype] // ROW_ALIGNMENT) * ROW_ALIGNMENT
        return row * banks
    tiles = shape[0] * shape[1] * (whole_tiles(shape[2]) // TILE) * (whole_tiles(shape[3]) // TILE)
    return -(-tiles // banks) * banks * TILE * TILE * NUMBER_BYTES[dtype]


class Ledger:
    """Bytes alive now, and the most there ever were since ``watch``.

    ``allocated`` asks the device itself how much it has dealt out. It is asked whenever tensors
    take more than ever, which is seldom after the first update; ``allocated_peak_bytes`` is the
    most that it answered, None where there is no device to ask.
    """

    def __init__(self, allocated: Callable[[], int] | None = None) -> None:
        self.live_bytes = 0
        self.peak_bytes = 0
        self.allocated_peak_bytes: int | None = None
        self._allocated, self._most_bytes = allocated, 0

    def watch(self) -> None:
        """Forget earlier peaks."""
        self.peak_bytes = self._most_bytes = self.live_bytes
        self.allocated_peak_bytes = None
        self._ask()

    def _ask(self) -> None:
        if self._allocated is not None:
            self.allocated_peak_bytes = max(self.allocated_peak_bytes or 0, self._allocated())

    def take(self, count: int) -> None:
        """``count`` more bytes are alive."""
        self.live_bytes += count
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        if self.live_bytes > self._most_bytes:
            self._most_bytes = self.live_bytes
            self._ask()

    def pass_through(self, count: int) -> None:
        """``count`` more bytes were alive within an operation, and are gone already."""
        self.peak_bytes = max(self.peak_bytes, self.live_bytes + count)

    def give(self, count: int) -> None:
        """``count`` bytes are gone."""
        self.live_bytes -= count


class Storage:
    """Memory that one or more tensors stand for; it goes with the last of them.

    ``entry`` is what it stands in the ledger with: its bytes.
    """

    __slots__ = ("_ledger", "_release", "data", "entry", "owners")

    def __init__(
        self, data: Any, count: int, ledger: Ledger, release: Callable[[Any], None]
    ) -> None:
        self.data = data
        self.owners = 0
        self.entry, self._ledger, self._release = count, ledger, release
        ledger.take(count)

    def drop(self) -> None:
        """One owner less."""
        self.owners -= 1
        if self.owners == 0:
            self._ledger.give(self.entry)
            self._release(self.data)
            self.data = None


class Tensor:
    """A handle of numbers on the card: four dimensions, of which the last two lie in tiles.

    ``Ops.free`` lets go of it at a moment that the program chooses; one that nothing refers to
    any more lets go by itself. Using a freed one is a fault of the program.
    """

    __slots__ = ("_data", "_storage", "dtype", "shape")

    def __init__(self, shape: Shape, dtype: Dtype, storage: Storage, data: Any) -> None:
        self.shape, self.dtype = shape, dtype
        self._storage: Storage | None = storage
        self._data = data
        storage.owners += 1

    @property
    def storage(self) -> Storage:
        """The memory behind it."""
        assert self._storage is not None, "a tensor was used after it had been freed"
        return self._storage

    @property
    def data(self) -> Any:
        """What the kernels work on."""
        assert self._storage is not None, "a tensor was used after it had been freed"
        return self._data

    def free(self) -> None:
        """Let go of the memory, unless another tensor shares it."""
        self.storage.drop()
        self._storage = self._data = None

    def __del__(self) -> None:
        if self._storage is not None:
            self.free()
