"""Every operation in numpy against numpy's own words, and what operations refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from numpy.typing import NDArray

from engine.backends.tenstorrent.numpy_kernels import NumpyKernels, RoundedOps, round_to
from engine.card_graph.ops import Ops
from engine.card_graph.shape_kernels import ShapeKernels
from engine.card_graph.tensor import Dtype, Shape, Tensor, stored_bytes


@pytest.fixture
def ops() -> Ops:
    return Ops(NumpyKernels())


def random(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(shape)


def test_elementwise_operations_broadcast(ops: Ops) -> None:
    a, b = random(2, 3, 4, 5), random(1, 1, 4, 1, seed=1)
    x, y = ops.upload(a, "fp32"), ops.upload(b, "fp32")
    np.testing.assert_array_equal(ops.download(ops.add(x, y)), a + b)
    np.testing.assert_array_equal(ops.download(ops.subtract(x, y)), a - b)
    np.testing.assert_array_equal(ops.download(ops.multiply(y, x)), a * b)
    np.testing.assert_array_equal(ops.download(ops.scale(x, 3.0)), a * 3)
    np.testing.assert_array_equal(ops.download(ops.shift(x, 3.0)), a + 3)
    positive = ops.exp(x)
    np.testing.assert_array_equal(ops.download(positive), np.exp(a))
    np.testing.assert_allclose(ops.download(ops.log(positive)), a, rtol=1e-12)
    np.testing.assert_allclose(ops.download(ops.reciprocal(positive)), np.exp(-a), rtol=1e-12)
    np.testing.assert_allclose(ops.download(ops.sqrt(positive)), np.exp(a / 2), rtol=1e-12)
    np.testing.assert_allclose(ops.download(ops.rsqrt(positive)), np.exp(-a / 2), rtol=1e-12)


def test_equal_marks_each_row_in_its_column(ops: Ops) -> None:
    column = ops.upload(np.array([2.0, 0.0]).reshape(1, 1, 2, 1), "fp32")
    row = ops.upload(np.arange(3.0).reshape(1, 1, 1, 3), "fp32")
    marked = ops.equal(column, row, "bf16")
    assert marked.dtype == "bf16"
    assert ops.download(marked)[0, 0].tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_matmul_multiplies_matrices_one_by_one(
    ops: Ops, transpose_a: bool, transpose_b: bool
) -> None:
    a, b = random(2, 3, 4, 5), random(2, 3, 5, 6, seed=1)
    left = ops.upload(a.swapaxes(2, 3) if transpose_a else a, "bf16")
    right = ops.upload(b.swapaxes(2, 3) if transpose_b else b, "bf16")
    product = ops.matmul(
        left, right, transpose_a=transpose_a, transpose_b=transpose_b, dtype="fp32"
    )
    assert product.dtype == "fp32"
    np.testing.assert_allclose(ops.download(product), a @ b, rtol=1e-12)


def test_sums_and_largest_keep_their_dimension(ops: Ops) -> None:
    a = random(1, 1, 4, 5)
    x = ops.upload(a, "fp32")
    np.testing.assert_allclose(ops.download(ops.sum(x, -1)), a.sum(3, keepdims=True))
    np.testing.assert_allclose(ops.download(ops.sum(x, -2)), a.sum(2, keepdims=True))
    np.testing.assert_allclose(ops.download(ops.mean(x)), a.mean(3, keepdims=True))
    assert ops.number(ops.total(x)) == pytest.approx(a.sum())
    np.testing.assert_array_equal(ops.download(ops.max(x)), a.max(3, keepdims=True))


def test_softmax_survives_large_numbers(ops: Ops) -> None:
    x = ops.upload(np.array([[[[1e4, 1e4 - math.log(3), -1e9]]]]), "fp32")
    np.testing.assert_allclose(ops.download(ops.softmax(x))[0, 0, 0], [0.75, 0.25, 0.0])


@pytest.mark.parametrize("name", ["relu", "gelu", "silu"])
def test_bends_and_their_slopes_are_torchs(ops: Ops, name: str) -> None:
    a = np.concatenate((random(64), [0.0, -800.0, 800.0])).reshape(1, 1, 1, -1)
    gradient = random(*a.shape, seed=1)
    x = torch.from_numpy(a).requires_grad_()
    y = getattr(F, name)(x)
    y.backward(torch.from_numpy(gradient))
    card = ops.upload(a, "fp32")
    bent = ops.bend(name, card)  # type: ignore[arg-type]
    np.testing.assert_allclose(ops.download(bent), y.detach(), rtol=1e-12, atol=1e-15)
    slope = ops.bend_backward(name, ops.upload(gradient, "fp32"), card)  # type: ignore[arg-type]
    np.testing.assert_allclose(ops.download(slope), x.grad, rtol=1e-12, atol=1e-15)


def test_transpose_reshape_and_embedding_move_numbers(ops: Ops) -> None:
    a = random(1, 1, 64, 32)
    x = ops.upload(a, "bf16")
    np.testing.assert_array_equal(ops.download(ops.transpose(x)), a.swapaxes(2, 3))
    apart = ops.reshape(x, (2, 1, 32, 32))
    np.testing.assert_array_equal(ops.download(apart), a.reshape(2, 1, 32, 32))
    ids = ops.upload(np.array([[[[3, 0, 3]]]]), "ids")
    np.testing.assert_array_equal(ops.download(ops.embedding(ids, x)), a[:, :, [3, 0, 3]])


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((1, 1, 64, 64), "fp32", 64 * 64 * 4),
        ((1, 1, 1, 33), "bf16", 32 * 64 * 2),
        ((2, 3, 33, 1), "fp32", 6 * 64 * 32 * 4),
        ((1, 1, 1, 33), "ids", 192),
    ],
)
def test_memory_is_counted_in_whole_tiles(shape: Shape, dtype: Dtype, expected: int) -> None:
    assert stored_bytes(shape, dtype) == expected


def test_every_bank_gives_as_much_as_any() -> None:
    assert stored_bytes((1, 1, 32, 32), "fp32", banks=12) == 12 * 4096
    assert stored_bytes((1, 1, 32, 13 * 32), "fp32", banks=12) == 24 * 4096
    assert stored_bytes((1, 1, 1, 33), "ids", banks=8) == 8 * 192


def test_the_ledger_follows_every_tensor(ops: Ops) -> None:
    ledger, tile = ops.ledger, 32 * 32 * 4
    x = ops.upload(random(1, 1, 32, 32), "fp32")
    y = ops.add(x, ops.scale(x, 2.0))  # the scaled one is gone after the sum
    assert (ledger.live_bytes, ledger.peak_bytes) == (2 * tile, 3 * tile)
    ops.free(x)
    ledger.watch()
    assert (ledger.live_bytes, ledger.peak_bytes) == (tile, tile)
    del y
    assert ledger.live_bytes == 0


def test_shared_memory_goes_with_its_last_owner(ops: Ops) -> None:
    x = ops.upload(random(1, 1, 64, 32), "fp32")
    owners = [ops.share(x), ops.reshape(x, (2, 1, 32, 32)), ops.cast(x, "fp32")]
    assert ops.ledger.live_bytes == 64 * 32 * 4
    ops.free(x)
    for owner in owners:
        assert ops.ledger.live_bytes == 64 * 32 * 4
        ops.free(owner)
    assert ops.ledger.live_bytes == 0


def test_using_or_freeing_a_freed_tensor_is_a_fault(ops: Ops) -> None:
    x = ops.upload(random(1, 1, 32, 32), "fp32")
    ops.free(x)
    with pytest.raises(AssertionError, match="after it had been freed"):
        ops.exp(x)
    with pytest.raises(AssertionError, match="after it had been freed"):
        ops.free(x)


def test_what_ttnn_cannot_do_is_refused_everywhere(ops: Ops) -> None:
    x = ops.upload(random(1, 1, 32, 32), "fp32")
    narrow, other = ops.cast(x, "bf16"), ops.upload(random(1, 1, 48, 32), "fp32")
    with pytest.raises(AssertionError):
        ops.add(x, narrow)
    with pytest.raises(AssertionError):
        ops.add(x, other)
    with pytest.raises(AssertionError):
        ops.matmul(x, other)
    with pytest.raises(AssertionError, match="keeps the columns"):
        ops.reshape(x, (1, 1, 64, 16))
    with pytest.raises(AssertionError, match="keeps tiles whole"):
        ops.reshape(x, (2, 1, 16, 32))


def test_shapes_alone_follow_the_same_rules() -> None:
    both = [Ops(NumpyKernels()), Ops(ShapeKernels())]

    def shapes(ops: Ops) -> list[tuple[Shape, Dtype]]:
        x = ops.upload(random(2, 1, 32, 64), "fp32")
        ids = ops.upload(np.zeros((1, 1, 1, 5), int), "ids")
        flat = ops.reshape(x, (1, 1, 64, 64))
        results: list[Tensor] = [
            ops.add(x, ops.sum(x, -2)), ops.max(x), ops.transpose(x), flat,
            ops.matmul(x, x, transpose_b=True, dtype="bf16"), ops.embedding(ids, flat),
        ]  # fmt: skip
        return [(result.shape, result.dtype) for result in results]

    assert shapes(both[0]) == shapes(both[1])
    assert both[0].ledger.peak_bytes == both[1].ledger.peak_bytes
    with pytest.raises(TypeError, match="no numbers"):
        both[1].download(both[1].upload(random(1, 1, 1, 1), "fp32"))


def test_rounding_is_torchs() -> None:
    numbers = np.concatenate((random(1000) * 100, [0.0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8, 1e-40]))
    for dtype, torchs in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        expected = torch.from_numpy(numbers).float().to(torchs).double().numpy()
        np.testing.assert_array_equal(round_to(numbers, dtype), expected)  # type: ignore[arg-type]


def test_rounded_operations_round_every_result_to_its_format() -> None:
    ops = RoundedOps()
    x = ops.upload(random(1, 1, 32, 32), "bf16")
    for result in (ops.exp(x), ops.matmul(x, x), ops.add(x, x), ops.cast(x, "fp32")):
        numbers = ops.download(result)
        np.testing.assert_array_equal(round_to(numbers, result.dtype), numbers)
