"""Kernels that compute nothing: with them a training step only counts its memory."""

from __future__ import annotations

from typing import Any

from engine.backends.tenstorrent.kernels import Array


class ShapeKernels:
    """Every operation gives None. ``download`` is refused: there are no numbers."""

    def download(self, data: Any) -> Array:
        """Raises TypeError."""
        raise TypeError("a step that only counts memory has no numbers")

    def _nothing(self, *_: Any) -> None:
        return None

    upload = free = cast = binary = equal = scale = shift = matmul = sum = max = unary = _nothing
    softmax = bend = bend_backward = transpose = reshape = embedding = _nothing
    keep_mask = _nothing
