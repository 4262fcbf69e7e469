"""The self-check passes arithmetic that is exact or rounded, and finds what is broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.backends.tenstorrent.numpy_kernels import NumpyKernels, RoundedOps
from engine.backends.tenstorrent.self_check import self_check
from engine.card_graph.kernels import Array
from engine.card_graph.ops import Ops


def test_exact_arithmetic_passes_without_any_error() -> None:
    found = self_check(Ops(NumpyKernels()))
    assert found.problem == ""
    assert found.worst_cosine == pytest.approx(1.0, abs=1e-12)
    assert found.worst_loss_error < 1e-12


def test_sixteen_bits_pass_with_room_to_spare() -> None:
    found = self_check(RoundedOps())
    assert found.problem == ""
    assert 0.997 < found.worst_cosine < 1.0  # ReLU: numbers near 0 change sides
    assert 0 < found.worst_loss_error < 0.01


class NoArithmetic(NumpyKernels):
    """What ttnn's mock device gives: zeros."""

    def download(self, data: Array) -> Array:
        return np.zeros_like(data)


class WrongSlope(NumpyKernels):
    def bend_backward(self, name: Any, gradient: Array, x: Array) -> Array:
        return super().bend_backward("relu" if name == "gelu" else name, gradient, x)


class ForgottenTranspose(NumpyKernels):
    """Wrong only where both sides are square: shapes give nothing away."""

    def matmul(self, a: Array, b: Array, transpose_a: bool, transpose_b: bool, dtype: Any) -> Array:
        forgotten = transpose_b and b.shape[-1] == b.shape[-2]
        return super().matmul(a, b, transpose_a, transpose_b and not forgotten, dtype)


class LooseLogarithm(NumpyKernels):
    """Wrong in what is shown alone: gradients do not need the logarithm."""

    def unary(self, name: Any, x: Array) -> Array:
        return super().unary(name, x) * (1.1 if name == "log" else 1.0)


class OneMask(NumpyKernels):
    def keep_mask(self, shape: Any, probability: float, seed: int) -> Array:
        return super().keep_mask(shape, probability, 0)


class MasksThatNeverRepeat(NumpyKernels):
    drawn = 0

    def keep_mask(self, shape: Any, probability: float, seed: int) -> Array:
        self.drawn += 1
        return super().keep_mask(shape, probability, self.drawn)


class ElevenBits(NumpyKernels):
    """Elementwise products on the path of the matrix unit, whose numbers have 11 bits."""

    def binary(self, name: Any, a: Array, b: Array) -> Array:
        result = super().binary(name, a, b)
        if name != "multiply":
            return result
        mantissa, exponent = np.frexp(result)
        return np.ldexp(np.round(mantissa * 2**11) / 2**11, exponent)


class NeighbouringIds(NumpyKernels):
    """Ids of more than 14 bits lose their last four."""

    def equal(self, a: Array, b: Array, dtype: Any) -> Array:
        unit = 16 if a.max() >= 2**14 else 1
        return super().equal(a // unit, b // unit, dtype)


@pytest.mark.parametrize(
    ("kernels", "words"),
    [
        (NoArithmetic, "mock device"),
        (WrongSlope, "gpt-2: "),
        (ForgottenTranspose, "points elsewhere"),
        (LooseLogarithm, "off what it should be"),
        (ElevenBits, "when they are multiplied"),
        (NeighbouringIds, "token ids are confused"),
        (OneMask, "two seeds draw the same mask"),
        (MasksThatNeverRepeat, "draws two different masks"),
    ],
)
def test_what_is_broken_is_found_and_named(kernels: type[NumpyKernels], words: str) -> None:
    assert words in self_check(Ops(kernels())).problem
