"""Kernels that compute nothing: with them a training step only counts its memory."""

from __future__ import annotations

from typing import Any, NamedTuple

NO_ARRAY: Any = None  # in place of a weight's array


class Blank(NamedTuple):
    """Token ids of which only the shape (B, T) is there."""

    shape: tuple[int, int]


def _refuse(*_: Any) -> Any:
    raise TypeError("a step that only counts memory has no numbers")


class _NoArrays:
    """Arrays of the host that nobody asks for."""

    def __getattr__(self, _: str) -> Any:
        return _refuse


class ShapeKernels:
    """Every operation gives None. ``download`` is refused: there are no numbers."""

    host: Any = _NoArrays()

    def download(self, data: Any) -> Any:
        """Raises TypeError."""
        return _refuse()

    def _nothing(self, *_: Any) -> None:
        return None

    upload = free = cast = binary = equal = scale = shift = matmul = sum = max = unary = _nothing
    softmax = bend = bend_backward = transpose = reshape = embedding = _nothing
    keep_mask = _nothing
