"""Our optimizers against torch's own, and who decays."""

from __future__ import annotations

import pytest
import torch
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from engine.models.decoder import build
from engine.run_spec import RunSpec, run_parameters
from engine.spec import ModelSpec
from engine.training.optimizer import AdamW, Optimizer, decay_groups
from engine.training.optimizer_choice import build_optimizer

SPEC = ModelSpec(
    hidden_dim=16, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=32, max_seq_len=8,
    vocab_size=11, norm="layernorm", qkv_bias=True, mlp_bias=True, tied_embeddings=False,
    position="learned",
)  # fmt: skip


def test_matrices_decay_and_norms_and_biases_do_not() -> None:
    named = dict(build(SPEC).named_parameters())
    decaying, free = decay_groups(named.values(), 0.1)
    assert (decaying.decay, free.decay) == (0.1, 0.0)
    names = {id(weight): name for name, weight in named.items()}
    kept = {names[id(weight)] for weight in free.weights}
    assert kept == {n for n in named if "norm" in n or n.endswith("bias")}
    pulled = {names[id(weight)] for weight in decaying.weights}
    assert pulled == set(named) - kept
    assert {"model.embed_tokens.weight", "lm_head.weight"} <= pulled


def test_a_tied_matrix_is_updated_once() -> None:
    model = build(SPEC.replace(tied_embeddings=True))
    groups = decay_groups(model.parameters(), 0.1)
    weights = [weight for group in groups for weight in group.weights]
    assert len(weights) == len({id(weight) for weight in weights})


class TorchsOwn:
    """torch.optim's functions; its classes would load torch's compiler, which takes seconds."""

    def __init__(self, weights: list[torch.Tensor], run: RunSpec) -> None:
        self.weights, self.run = weights, run
        self.means = [torch.zeros_like(weight) for weight in weights]
        self.squares = [torch.zeros_like(weight) for weight in weights]
        self.counts = [torch.tensor(0.0) for _ in weights]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        run = self.run
        for at, weight in enumerate(self.weights):
            decay = run.weight_decay if weight.dim() >= 2 else 0.0
            assert weight.grad is not None
            if run.optimizer == "adamw":
                adamw(
                    [weight], [weight.grad], [self.means[at]], [self.squares[at]], [],
                    [self.counts[at]], fused=True, amsgrad=False, beta1=run.beta1,
                    beta2=run.beta2, lr=rate, weight_decay=decay, eps=1e-8, maximize=False,
                )  # fmt: skip
                continue
            momentum = run.beta1 if run.optimizer == "sgd-momentum" else 0.0
            sgd(
                [weight], [weight.grad], [self.means[at] if momentum else None], foreach=False,
                weight_decay=decay, momentum=momentum, lr=rate, dampening=0.0, nesterov=False,
                maximize=False,
            )  # fmt: skip


def two_weights() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = ((5, 7), (7,))
    return [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]


def gradients(step: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(shape, generator=generator) for shape in ((5, 7), (7,))]


@pytest.mark.parametrize("name", ["adamw", "sgd-momentum", "sgd"])
def test_is_torchs_to_the_last_bit(name: str) -> None:
    run = RunSpec(optimizer=name, weight_decay=0.3)
    ours, theirs = two_weights(), two_weights()
    optimizer = build_optimizer(ours, run)
    other = TorchsOwn(theirs, run)
    for step in range(20):
        for weight, twin, gradient in zip(ours, theirs, gradients(step), strict=True):
            weight.grad, twin.grad = gradient.clone(), gradient.clone()
        optimizer.step(1e-2)
        other.step(1e-2)
    for weight, twin in zip(ours, theirs, strict=True):
        assert torch.equal(weight, twin)


def test_the_form_without_a_fused_kernel_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for fused in (("cpu",), ()):
        monkeypatch.setattr("engine.training.optimizer._FUSED_DEVICES", fused)
        weights = two_weights()
        optimizer = AdamW(decay_groups(weights, 0.1), 0.9, 0.95)
        for step in range(20):
            for weight, gradient in zip(weights, gradients(step), strict=True):
                weight.grad = gradient.clone()
            optimizer.step(1e-2)
        results.append(weights)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("name", "copies"), [("adamw", 2), ("sgd-momentum", 1), ("sgd", 0)])
def test_keeps_as_many_numbers_a_weight_as_the_accounting_says(name: str, copies: int) -> None:
    optimizer: Optimizer = build_optimizer(two_weights(), RunSpec(optimizer=name))
    kept = sum(t.numel() for state in optimizer.state.values() for t in state.values())
    assert kept == copies * (5 * 7 + 7)


@pytest.mark.parametrize("name", run_parameters()["optimizer"].choices or ())
def test_every_optimizer_that_can_be_chosen_can_be_had_and_goes_downhill(name: str) -> None:
    run = RunSpec(optimizer=name, weight_decay=0.0)
    weights = [
        torch.full((80, 60), 3.0, requires_grad=True),
        torch.full((5,), -3.0, requires_grad=True),
    ]
    optimizer = build_optimizer(weights, run)
    for _ in range(100):
        for weight in weights:
            weight.grad = weight.detach().clone()
        optimizer.step(1e-2)
    for weight in weights:
        assert float(weight.detach().abs().max()) < 2.5
