"""Adafactor against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.optim._adafactor import adafactor

from engine.run_spec import RunSpec
from engine.training.adafactor import Adafactor
from engine.training.optimizer import Optimizer, decay_groups
from engine.training.optimizer_choice import build_optimizer

SHAPES = ((40, 24), (7, 129), (1, 5), (33,), (300, 16))
RATE, DECAY = 1e-2, 0.3

# torch multiplies its learning rate by the size (root mean square) of the weight, or by its
# second epsilon where that is larger, and ours doesn't. So torch gets an epsilon larger than any
# weight and a rate that is smaller by as much, with the decay larger; a power of two is exact.
SCALE = 128.0


class TorchsOwn:
    """torch.optim's function; its class would load torch's compiler, which takes seconds."""

    def __init__(self, weights: list[torch.Tensor]) -> None:
        self.weights = weights
        matrices = [weight.dim() > 1 for weight in weights]
        self.rows = [torch.zeros(len(w), 1) if m else None for w, m in zip(weights, matrices)]  # noqa: B905
        self.columns = [
            torch.zeros(1, w.shape[1]) if m else None
            for w, m in zip(weights, matrices)  # noqa: B905
        ]
        self.squares = [None if m else torch.zeros_like(w) for w, m in zip(weights, matrices)]  # noqa: B905
        self.counts = [torch.tensor(0.0) for _ in weights]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for at, weight in enumerate(self.weights):
            adafactor(
                [weight], [weight.grad], [self.rows[at]], [self.columns[at]], [self.squares[at]],
                [self.counts[at]], foreach=False, d=1.0, lr=rate / SCALE, beta2_decay=-0.8,
                weight_decay=DECAY * SCALE if weight.dim() > 1 else 0.0, eps1=1e-15, eps2=SCALE,
                maximize=False,
            )  # type: ignore[arg-type]  # fmt: skip


def weights() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in SHAPES]


def gradients(step: int) -> list[torch.Tensor]:
    """Of rows and columns that differ in size by orders of magnitude."""
    generator = torch.Generator().manual_seed(100 + step)
    found = []
    for shape in SHAPES:
        size = torch.randn(shape[:1] + (1,) * (len(shape) - 1), generator=generator).exp()
        found.append(torch.randn(shape, generator=generator) * size * 10.0 ** (step % 3 - 3))
    return found


def test_is_torchs_with_the_size_of_the_weight_left_out() -> None:
    ours, theirs = weights(), weights()
    optimizer = build_optimizer(ours, RunSpec(optimizer="adafactor", weight_decay=DECAY))
    other = TorchsOwn(theirs)
    for step in range(20):
        for weight, twin, gradient in zip(ours, theirs, gradients(step), strict=True):
            weight.grad, twin.grad = gradient.clone(), gradient.clone()
        optimizer.step(RATE)
        other.step(RATE)
    for weight, twin, start in zip(ours, theirs, weights(), strict=True):
        torch.testing.assert_close(weight, twin, rtol=1e-6, atol=1e-7)
        assert float((weight - start).detach().abs().max()) > 1e-2


def one_update(weight: torch.Tensor, gradient: torch.Tensor, optimizer: Optimizer) -> torch.Tensor:
    before = weight.detach().clone()
    weight.grad = gradient.clone()
    optimizer.step(1.0)
    return weight.detach() - before


def made(weight: torch.Tensor) -> Adafactor:
    return Adafactor(decay_groups([weight], 0.0))


def test_the_first_update_of_a_vector_is_its_sign() -> None:
    """beta2 is 0 at the first step, so the mean square is the square itself."""
    weight = torch.zeros(4, requires_grad=True)
    gradient = torch.tensor([1e-6, -2.0, 30.0, -1.0])
    torch.testing.assert_close(one_update(weight, gradient, made(weight)), -gradient.sign())


def test_a_sudden_large_gradient_is_shortened_to_an_update_of_size_one() -> None:
    weight = torch.zeros(20, 10, requires_grad=True)
    optimizer = made(weight)
    gradient = torch.randn(20, 10, generator=torch.Generator().manual_seed(1))
    for _ in range(50):
        one_update(weight, gradient, optimizer)
    update = one_update(weight, 1e4 * gradient, optimizer)
    assert float(update.square().mean().sqrt()) == pytest.approx(1.0, rel=1e-5)


def test_rows_that_never_get_a_gradient_stay() -> None:
    """Tokens that the text does not have: 0 / 0 is nobody's update."""
    weight = torch.ones(6, 4, requires_grad=True)
    optimizer = made(weight)
    gradient = torch.zeros(6, 4)
    assert torch.equal(one_update(weight, gradient, optimizer), torch.zeros(6, 4))
    gradient[2] = 1e-5
    update = one_update(weight, gradient, optimizer)
    assert bool((update[2] < 0).all())
    assert torch.equal(update[[0, 1, 3, 4, 5]], torch.zeros(5, 4))


def test_gradients_too_small_for_their_squares_do_no_harm() -> None:
    weight = torch.zeros(6, 4, requires_grad=True)
    optimizer = made(weight)
    for size in (1.0, 1e-25, 1e-38):
        gradient = torch.full((6, 4), size)
        gradient[1] = 1e-30
        assert bool(torch.isfinite(one_update(weight, gradient, optimizer)).all())


def test_keeps_a_number_for_each_row_and_column_of_a_matrix_and_all_of_a_vector() -> None:
    optimizer = Adafactor(decay_groups([torch.zeros(30, 50), torch.zeros(17)], 0.0))
    kept = sum(t.numel() for state in optimizer.state.values() for t in state.values())
    assert kept == 30 + 50 + 17
