"""AdamW in 8 bits: follows AdamW in a quarter of the memory."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

import engine.training.block_quantization as quantization
from engine.models.decoder import build
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.adamw_8bit import AdamW8bit
from engine.training.memory_meter import LiveStorages
from engine.training.optimizer import AdamW, decay_groups
from engine.training.update import Learner

SPEC = ModelSpec(
    hidden_dim=64, num_layers=2, num_heads=4, num_kv_heads=4, mlp_dim=256, max_seq_len=32,
    vocab_size=128,
)  # fmt: skip


def losses(optimizer: str, steps: int = 120, **changes: float) -> list[float]:
    """Learn sequences that count upward by one of eight strides, from one of 128 tokens."""
    run = RunSpec(optimizer=optimizer).replace(**changes)
    learner = Learner(build(SPEC, seed=1), run, nullcontext)
    generator = torch.Generator().manual_seed(5)
    found = []
    for step in range(steps):
        start = torch.randint(SPEC.vocab_size, (8, 1), generator=generator)
        stride = torch.randint(1, 9, (8, 1), generator=generator)
        ids = (start + stride * torch.arange(33)) % SPEC.vocab_size
        found.append(float(learner.gradients([(ids[:, :-1], ids[:, 1:])], 1)))
        learner.clip()
        learner.apply(3e-3 * min(1.0, (step + 1) / 10))
    return found


def test_training_follows_adamw_closely() -> None:
    exact, coarse = losses("adamw"), losses("adamw-8bit")
    assert exact[0] == coarse[0]
    assert exact[-1] < exact[0] / 2
    smooth = [sum(found[-20:]) / 20 for found in (exact, coarse)]
    assert smooth[1] == pytest.approx(smooth[0], rel=0.005)
    middle = [sum(found[40:60]) / 20 for found in (exact, coarse)]
    assert middle[1] == pytest.approx(middle[0], rel=0.005)


def one_of(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    weight = torch.randn(count, generator=generator, requires_grad=True)
    return weight, torch.randn(count, generator=generator)


@pytest.mark.parametrize("count", [4_096, 4_097, 10_000])
def test_the_first_update_is_adamws_as_nothing_was_rounded_yet(count: int) -> None:
    results = []
    for kind in (AdamW, AdamW8bit):
        weight, gradient = one_of(count)
        weight.grad = gradient
        kind(decay_groups([weight], 0.1), 0.9, 0.95).step(1e-2)
        results.append(weight.detach())
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-7)


def test_small_weights_are_adamws_to_the_last_bit() -> None:
    results = []
    for kind in (AdamW, AdamW8bit):
        weight, gradient = one_of(4_095)
        optimizer = kind(decay_groups([weight], 0.1), 0.9, 0.95)
        for _ in range(5):
            weight.grad = gradient.clone()
            optimizer.step(1e-2)
        results.append(weight.detach())
        assert optimizer.tables == ()
    assert torch.equal(*results)


def test_the_size_of_the_pieces_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for size in (quantization.PIECE, 1_024):
        monkeypatch.setattr(quantization, "PIECE", size)
        weight, gradient = one_of(10_000)
        optimizer = AdamW8bit(decay_groups([weight], 0.1), 0.9, 0.95)
        for _ in range(5):
            weight.grad = gradient.clone()
            optimizer.step(1e-2)
        results.append([weight.detach(), *optimizer.state[weight].values()])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_an_element_whose_gradient_stops_does_not_leap() -> None:
    """A square too small for its block must not vanish while the mean is still there."""
    weight = torch.zeros(4_096, requires_grad=True)
    optimizer = AdamW8bit(decay_groups([weight], 0.0), 0.9, 0.95)
    gradient = torch.full((4_096,), 1.0)
    gradient[7] = 1e-4
    for step in range(40):
        weight.grad = gradient.clone()
        weight.grad[7] *= step % 4 == 0
        optimizer.step(1e-3)
    assert abs(float(weight.detach()[7])) <= 40 * 1e-3


def test_state_takes_a_byte_a_number_and_a_scale_a_block() -> None:
    weight = torch.zeros(100, 333, requires_grad=True)
    optimizer = AdamW8bit(decay_groups([weight], 0.0), 0.9, 0.95)
    kept = sum(t.nbytes for t in optimizer.state[weight].values())
    assert kept == 2 * (33_300 + 4 * 131)


def test_what_is_unpacked_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "PIECE", 1 << 14)
    weight = torch.zeros(1 << 18, requires_grad=True)
    weight.grad = torch.ones(1 << 18)
    optimizer = AdamW8bit(decay_groups([weight], 0.0), 0.9, 0.95)
    live = LiveStorages()
    live.add([weight, weight.grad, *optimizer.state[weight].values(), *optimizer.tables])
    before = live.current_bytes
    with live:
        optimizer.step(1e-3)
    assert live.peak_bytes - before == 17 << 14
