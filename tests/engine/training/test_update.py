"""One update: accumulation, clipping, master weights, gradient checkpointing."""

from __future__ import annotations

import math
from contextlib import nullcontext

import pytest
import torch

from engine.models.decoder import Decoder, build
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.update import Learner

SPEC = ModelSpec(
    hidden_dim=32, num_layers=2, num_heads=2, num_kv_heads=2, mlp_dim=64, max_seq_len=16,
    vocab_size=23,
)  # fmt: skip


def learner(model: Decoder, **changes: object) -> Learner:
    return Learner(model, RunSpec().replace(**changes), nullcontext)  # type: ignore[arg-type]


def batch(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(SPEC.vocab_size, (rows, 17), generator=generator)
    return ids[:, :-1], ids[:, 1:]


def test_loss_of_a_new_model_is_that_of_a_blind_guess() -> None:
    model = build(SPEC, seed=1)
    loss = learner(model).gradients([batch(32)], 1)
    assert float(loss) == pytest.approx(math.log(SPEC.vocab_size), abs=0.02)


def test_accumulated_micro_batches_equal_the_one_big_batch() -> None:
    """In 64 bits, so that nothing but the order of additions is left."""
    inputs, targets = batch(8)
    results = []
    for parts in (1, 2, 4):
        model = build(SPEC, seed=1, dtype=torch.float64)
        one = learner(model)
        pieces = zip(inputs.chunk(parts), targets.chunk(parts), strict=True)
        loss = one.gradients(pieces, parts)
        results.append((loss, [parameter.grad for parameter in model.parameters()]))
    for loss, gradients in results[1:]:
        torch.testing.assert_close(loss, results[0][0], rtol=1e-6, atol=0)
        for gradient, whole in zip(gradients, results[0][1], strict=True):
            torch.testing.assert_close(gradient, whole, rtol=1e-4, atol=1e-9)


def test_a_long_gradient_is_cut_to_the_clip_and_its_true_length_told() -> None:
    model = build(SPEC, seed=1)
    one = learner(model, grad_clip=0.01)
    one.gradients([batch(4)], 1)
    flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    told = one.clip()
    torch.testing.assert_close(told, flat.norm())
    cut = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert float(cut.norm()) == pytest.approx(0.01, rel=1e-3)
    torch.testing.assert_close(cut / cut.norm(), flat / flat.norm())


@pytest.mark.parametrize("clip", [0.0, 1e6])
def test_clip_off_or_wide_changes_nothing_and_still_tells_the_length(clip: float) -> None:
    model = build(SPEC, seed=1)
    one = learner(model, grad_clip=clip)
    one.gradients([batch(4)], 1)
    before = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    assert float(one.clip()) > 0
    for parameter, gradient in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter.grad, gradient)  # type: ignore[arg-type]


def test_gradient_checkpointing_changes_no_number() -> None:
    spec = SPEC.replace(dropout=0.2)
    found = []
    for checkpointing in (False, True):
        model = build(spec, seed=1)
        model.gradient_checkpointing = checkpointing
        torch.manual_seed(9)
        one = learner(model)
        loss = one.gradients([batch(4)], 1)
        found.append([loss, *(p.grad for p in model.parameters())])
    for plain, recomputed in zip(*found, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_overfits_one_batch() -> None:
    model = build(SPEC, seed=1)
    one = learner(model, weight_decay=0.0)
    loss = torch.tensor(math.inf)
    for _ in range(300):
        loss = one.gradients([batch(4)], 1)
        one.clip()
        one.apply(3e-3)
        if float(loss) < 0.05:
            break
    assert float(loss) < 0.05


def test_bf16_weights_follow_their_masters() -> None:
    model = build(SPEC, seed=1, dtype=torch.bfloat16)
    one = learner(model)
    for _ in range(3):
        one.gradients([batch(4)], 1)
        one.clip()
        one.apply(1e-4)
    scale = one.masters.weights["model.norm.weight"].detach()
    assert scale.dtype == torch.float32
    assert 0 < float((scale - 1).abs().max()) < 2**-8
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, one.masters.weights[name].bfloat16())
        assert parameter.grad is None
