"""Updates on numpy against the torch engine's own: gradients, clip, optimizers, checkpoints."""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.backends.card.initial_weights import initial_weights
from engine.backends.tenstorrent.learner import Learner
from engine.backends.tenstorrent.numpy_kernels import NumpyKernels, RoundedOps
from engine.card_graph.ops import Ops
from engine.models.decoder import Decoder
from engine.parameter import Value
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training import update as torchs
from engine.training.checkpoint import optimizer_tensors
from tests.engine.backends.tenstorrent.designs import (
    small,
    tokens,
    torch_model,
    torchs_tables,
    weights_of,
)

Ids = NDArray[np.int64]
RATE = 3e-3


def run(**changes: Value) -> RunSpec:
    return RunSpec(batch_size=2, learning_rate=RATE).replace(**changes)


def batches(spec: ModelSpec, step: int, count: int) -> list[tuple[Ids, Ids]]:
    """The micro-batches of one step."""
    ids = [tokens(spec, 2, 33, seed=10 * step + part) for part in range(count)]
    return [(part[:, :-1], part[:, 1:]) for part in ids]


def as_tensors(parts: list[tuple[Ids, Ids]]) -> list[torchs.Batch]:
    return [(torch.from_numpy(inputs), torch.from_numpy(targets)) for inputs, targets in parts]


def torch_learner(model: Decoder, chosen: RunSpec) -> torchs.Learner:
    """The torch engine's, kept in 64 bits: its own optimizers over the model's weights."""
    learner = torchs.Learner(model, chosen, nullcontext)
    learner.masters.weights = dict(model.named_parameters())
    learner.masters._copied = []
    learner.optimizer = torchs.build_optimizer(model.parameters(), chosen)
    return learner


def assert_same_weights(card: Learner, model: Decoder, tolerance: float) -> None:
    for name, weight in card.export_weights().items():
        expected = dict(model.named_parameters())[name].detach().numpy()
        assert np.abs(weight - expected).max() < tolerance, name


@pytest.mark.parametrize(("count", "clip"), [(1, 0.0), (3, 0.05), (1, 1e6)])
@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw"},
        {"optimizer": "adamw", "weight_decay": 0.0, "beta1": 0.8, "beta2": 0.99},
        {"optimizer": "sgd"},
        {"optimizer": "sgd-momentum", "weight_decay": 0.01},
    ],
)
def test_ten_steps_are_the_torch_engines(
    changes: dict[str, Value], clip: float, count: int
) -> None:
    """Loss, length of the gradient and weights, in 64 bits on both sides."""
    spec, chosen = small(qkv_bias=True, norm="layernorm"), run(grad_clip=clip, **changes)
    model = torch_model(spec)
    with torchs_tables():
        card = Learner(spec, chosen, Ops(NumpyKernels()), weights_of(model))
        learner = torch_learner(model, chosen)
        for step in range(10):
            parts = batches(spec, step, count)
            rate = RATE / (1 + step)
            loss = learner.gradients(as_tensors(parts), count)
            length = learner.clip()
            learner.apply(rate)
            found = card.update(parts, count, rate)
            # The torch learner gives its loss in fp32.
            assert found.loss == pytest.approx(float(loss), rel=1e-6)
            assert found.grad_norm == pytest.approx(float(length), rel=1e-7)
    # torch's fused AdamW takes the rate and its corrections in 64 bits too.
    assert_same_weights(card, model, 1e-9)


def test_accumulated_micro_batches_equal_the_one_big_batch() -> None:
    spec = small()
    weights, ids = weights_of(torch_model(spec)), tokens(spec, 4, 33)
    found = []
    for count in (1, 2, 4):
        card = Learner(spec, run(grad_clip=0.0), Ops(NumpyKernels()), weights)
        parts = [(part[:, :-1], part[:, 1:]) for part in np.split(ids, count)]
        update = card.update(parts, count, RATE)
        found.append((update.loss, update.grad_norm))
    assert found[1] == pytest.approx(found[0], rel=1e-12)
    assert found[2] == pytest.approx(found[0], rel=1e-12)


def test_a_run_moves_between_the_card_and_torch() -> None:
    """Five steps there and five here are ten of either, optimizer state and all."""
    spec, chosen = small(), run()
    model = torch_model(spec)
    start = weights_of(model)
    with torchs_tables():
        whole = Learner(spec, chosen, Ops(NumpyKernels()), start)
        second = Learner(spec, chosen, Ops(NumpyKernels()), start)
        learner = torch_learner(model, chosen)
        for step in range(5):
            parts = batches(spec, step, 1)
            whole.update(parts, 1, RATE)
            learner.gradients(as_tensors(parts), 1)
            learner.clip()
            learner.apply(RATE)
        state = {key: part.numpy() for key, part in optimizer_tensors(learner).items()}
        assert state.keys() == second.export_state().keys()
        second.load(weights_of(model), state, learner.optimizer.steps)
        for step in range(5, 10):
            parts = batches(spec, step, 1)
            expected = whole.update(parts, 1, RATE)
            found = second.update(parts, 1, RATE)
            assert found.loss == pytest.approx(expected.loss, rel=1e-10)
    for key, part in whole.export_state().items():
        np.testing.assert_allclose(second.export_state()[key], part, rtol=1e-6, atol=1e-12)


def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing() -> None:
    spec = small()
    start = weights_of(torch_model(spec))
    card = Learner(spec, run(), Ops(NumpyKernels()), start)
    moved = {name: weight + 1 for name, weight in start.items()}
    with pytest.raises(ValueError, match="not of this optimizer"):
        card.load(moved, {"momentum_buffer/model.norm.weight": np.zeros(32)}, 3)
    state = card.export_state()
    with pytest.raises(ValueError, match="do not belong"):
        card.load({}, state, 3)
    assert card.optimizer.steps == 0
    for name, weight in card.export_weights().items():
        np.testing.assert_array_equal(weight, start[name])


def test_a_broken_loss_leaves_the_weights_alone() -> None:
    spec = small()
    start = weights_of(torch_model(spec))
    start["model.norm.weight"][:] = 1e200
    card = Learner(spec, run(), Ops(NumpyKernels()), start)
    with np.errstate(all="ignore"):
        update = card.update(batches(spec, 0, 1), 1, RATE)
    assert not math.isfinite(update.grad_norm)
    for name, weight in card.export_weights().items():
        np.testing.assert_array_equal(weight, start[name])


def test_validation_weighs_every_token_the_same() -> None:
    spec = small()
    card = Learner(spec, run(), Ops(NumpyKernels()), weights_of(torch_model(spec)))
    ids = tokens(spec, 5, 33)
    whole, count = card.validation_loss([(ids[:, :-1], ids[:, 1:])])
    assert count == 5 * 33
    parts = [(part[:, :-1], part[:, 1:]) for part in (ids[:3], ids[3:])]
    assert card.validation_loss(parts)[0] == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16"])
def test_with_16_bit_rounding_it_learns_as_fast_and_norms_move(precision: str) -> None:
    """As a card rounds: fp32 weights move by less than bf16 could tell from 1."""
    spec = small(init_std=0.05)
    start = initial_weights(spec, 1)
    losses = {}
    for name, ops in (("exact", Ops(NumpyKernels())), ("rounded", RoundedOps())):
        card = Learner(spec, run(precision=precision), ops, start)
        losses[name] = [card.update(batches(spec, 0, 1), 1, 1e-3).loss for _ in range(30)]
        moved = np.abs(card.export_weights()["model.norm.weight"] - 1)
        assert moved.min() > 0
        assert moved.max() < 30 * 1.1e-3
    np.testing.assert_allclose(losses["rounded"], losses["exact"], rtol=0.02)
    assert losses["rounded"][-1] < 0.8 * losses["rounded"][0]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_after_a_step_only_weights_state_and_tables_are_left(checkpointing: bool) -> None:
    spec = small(position="learned", head_bias=True)
    chosen = run(gradient_checkpointing=checkpointing)
    card = Learner(spec, chosen, Ops(NumpyKernels()), weights_of(torch_model(spec)))
    card.update(batches(spec, 0, 2), 2, RATE)  # makes the tables for this length
    ledger = card.ops.ledger
    after = ledger.live_bytes
    ledger.watch()
    card.update(batches(spec, 1, 2), 2, RATE)
    assert ledger.live_bytes == after
    assert ledger.peak_bytes > 1.2 * after
    del card
    assert ledger.live_bytes == 0
