"""RMSNorm's own derivative against torch's, by finite differences and under 16 bits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from engine.models.norms import RMSNorm

EPS = 1e-5


def norm_and_input(
    dtype: torch.dtype, shape: tuple[int, ...] = (3, 5, 16)
) -> tuple[RMSNorm, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    norm = RMSNorm(shape[-1], EPS).to(dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(shape[-1], generator=generator) + 0.5)
    x = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
    return norm, x


@pytest.mark.parametrize("shape", [(16,), (4, 16), (2, 3, 16), (1, 1, 1)])
def test_the_derivative_is_that_of_finite_differences(shape: tuple[int, ...]) -> None:
    norm, x = norm_and_input(torch.float64, shape)
    assert torch.autograd.gradcheck(lambda x, _: norm(x), (x, norm.weight))


def test_values_and_gradients_are_those_of_torchs_norm() -> None:
    norm, x = norm_and_input(torch.float32)
    expected = F.rms_norm(x, (16,), norm.weight, EPS)
    found = norm(x)
    torch.testing.assert_close(found, expected)
    towards = torch.randn(x.shape, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(
        torch.autograd.grad(found, (x, norm.weight), towards),
        torch.autograd.grad(expected, (x, norm.weight), towards),
    )


def test_16_bit_inputs_are_computed_in_fp32_and_come_back_in_16() -> None:
    norm, x = norm_and_input(torch.bfloat16)
    exact = F.rms_norm(x.double(), (16,), norm.weight.double(), EPS)
    found = norm(x)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16())  # rounded once, at the end
    found.sum().backward()
    assert x.grad is not None
    assert norm.weight.grad is not None
    assert (x.grad.dtype, norm.weight.grad.dtype) == (torch.bfloat16, torch.bfloat16)


def test_a_row_of_zeros_stays_zero_and_has_finite_gradients() -> None:
    norm, _ = norm_and_input(torch.float32)
    x = torch.zeros(2, 16, requires_grad=True)
    norm(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert not norm(x).any()


def test_the_input_and_one_number_a_token_are_kept() -> None:
    norm, x = norm_and_input(torch.float32)
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        norm(x)
    assert sorted(kept) == sorted((x.numel(), x.numel() // 16, 16))
