"""The loss in chunks against torch's own over all tokens at once."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from engine.models.chunked_loss import chunked_cross_entropy
from engine.models.decoder import Decoder, Output, build
from engine.run_spec import RunSpec
from engine.training.memory_meter import LiveStorages
from engine.training.update import Learner
from tests.engine.models.designs import tiny

N, D, V = 13, 6, 17


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, matrix, bias and targets; some targets come twice."""
    generator = torch.Generator().manual_seed(2)
    x, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for shape in ((N, D), (V, D), (V,))
    )
    return x, weight, bias, torch.randint(V, (N,), generator=generator)


def gradients(loss: Tensor, of: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(3.0 * loss, of)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("chunk", [1, 4, 12, 13, 100])
def test_equals_the_loss_of_all_tokens_at_once(chunk: int, biased: bool) -> None:
    x, weight, bias, targets = inputs()
    of = (x, weight, bias) if biased else (x, weight)
    some_bias = bias if biased else None
    loss = chunked_cross_entropy(x, weight, some_bias, targets, chunk)
    whole = F.cross_entropy(F.linear(x, weight, some_bias), targets)
    torch.testing.assert_close(loss, whole, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(gradients(loss, of), gradients(whole, of), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_gradients_are_the_slopes_of_the_loss() -> None:
    """Central differences, one number after another."""
    x, weight, bias, targets = inputs()
    found = gradients(chunked_cross_entropy(x, weight, bias, targets, 5), (x, weight, bias))
    step = 1e-6
    with torch.no_grad():
        for tensor, gradient in zip((x, weight, bias), found, strict=True):
            flat = tensor.view(-1)
            for at in range(len(flat)):
                losses = []
                for sign in (1, -1):
                    flat[at] += sign * step
                    losses.append(chunked_cross_entropy(x, weight, bias, targets, 5))
                    flat[at] -= sign * step
                slope = 3.0 * (losses[0] - losses[1]) / (2 * step)
                torch.testing.assert_close(gradient.view(-1)[at], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("chunk", [3, 13])
def test_torchs_gradcheck_agrees(chunk: int) -> None:
    """It goes backward more than once, so each time gets a loss of its own."""
    x, weight, bias, targets = inputs()

    class Anew(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, *args: Tensor) -> Tensor:
            ctx.args = args  # type: ignore[attr-defined]
            return chunked_cross_entropy(*args, targets, chunk)

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                own = [arg.detach().requires_grad_() for arg in ctx.args]  # type: ignore[attr-defined]
                loss = chunked_cross_entropy(own[0], own[1], own[2], targets, chunk)
            return torch.autograd.grad(loss, own, gradient)

    assert torch.autograd.gradcheck(Anew.apply, (x, weight, bias))


def test_large_scores_do_not_overflow() -> None:
    x, weight, bias, targets = inputs(torch.float32)
    loss = chunked_cross_entropy(1e4 * x, weight, bias, targets, 4)
    whole = F.cross_entropy(F.linear(1e4 * x, weight, bias), targets)
    torch.testing.assert_close(loss, whole)
    assert all(bool(torch.isfinite(part).all()) for part in gradients(loss, (x, weight, bias)))


def test_a_second_backward_pass_raises_instead_of_scaling_twice() -> None:
    x, weight, bias, targets = inputs()
    loss = chunked_cross_entropy(x, weight, bias, targets, 4)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_without_gradients_nothing_is_kept() -> None:
    x, weight, bias, targets = inputs(torch.float32)
    with torch.no_grad():
        loss = chunked_cross_entropy(x, weight, bias, targets, 4)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, F.cross_entropy(F.linear(x, weight, bias), targets).detach())


@pytest.mark.parametrize("grad", [True, False])
def test_scores_of_all_tokens_never_exist(grad: bool) -> None:
    tokens, vocabulary = 512, 4_000
    x = torch.randn(tokens, 8).requires_grad_()
    weight = torch.randn(vocabulary, 8).requires_grad_()
    targets = torch.zeros(tokens, dtype=torch.int64)
    live = LiveStorages()
    live.add([x, weight, targets])
    before = live.current_bytes
    with live, torch.set_grad_enabled(grad):
        chunked_cross_entropy(x, weight, None, targets, 32)
    kept = x.nbytes + weight.nbytes if grad else 0
    assert live.peak_bytes - before <= kept + 2 * 4 * 32 * vocabulary + 1_000


# In the model

DESIGNS = {
    "tied": {}, "untied": {"tied_embeddings": False}, "bias": {"head_bias": True},
    "post-norm": {"norm_position": "post", "tied_embeddings": False, "head_bias": True},
}  # fmt: skip


def batch(rows: int = 3) -> tuple[Tensor, Tensor]:
    ids = torch.randint(11, (rows, 13), generator=torch.Generator().manual_seed(1))
    return ids[:, :-1], ids[:, 1:]


def made(
    design: str, dtype: torch.dtype, chunk: int | None, checkpointing: bool = False
) -> Decoder:
    model = build(tiny(**DESIGNS[design]), dtype=dtype, seed=3)  # type: ignore[arg-type]
    model.loss_chunk, model.gradient_checkpointing = chunk, checkpointing
    return model


@pytest.mark.leaves_behind("checkpointing loads torch's compiler, which makes an empty folder")
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("design", DESIGNS)
def test_the_models_loss_and_every_gradient_are_the_same(design: str, checkpointing: bool) -> None:
    found = []
    for chunk in (None, 5):
        model = made(design, torch.float64, chunk, checkpointing)
        loss = model(*batch()).loss
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters())])
    for whole, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed", "bf16"])
@pytest.mark.parametrize("design", DESIGNS)
def test_so_it_is_in_every_precision_as_far_as_it_reaches(design: str, precision: str) -> None:
    """Compared with fp64: chunks must not be further from it than all tokens at once are."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    exact = made(design, torch.float64, None)
    start = made(design, dtype, None).state_dict()
    exact.load_state_dict(start)
    exact(*batch()).loss.backward()
    errors = []
    for chunk in (None, 5):
        model = made(design, dtype, chunk)
        mixed = precision == "bf16-mixed"
        with torch.autocast("cpu", dtype=torch.bfloat16) if mixed else nullcontext():
            loss = model(*batch()).loss
        assert loss.dtype == torch.float32
        loss.backward()
        worst = 0.0
        for parameter, true in zip(model.parameters(), exact.parameters(), strict=True):
            assert parameter.grad is not None
            assert true.grad is not None
            assert parameter.grad.dtype == dtype
            worst = max(worst, float((parameter.grad - true.grad).norm() / true.grad.norm()))
        errors.append(worst)
    assert errors[1] <= 1.5 * errors[0] + 1e-6
    assert errors[1] < (1e-5 if precision == "fp32" else 0.1)


@given(st.integers(1, 4), st.integers(1, 20))
def test_a_chunk_of_any_size_in_a_batch_of_any_size(rows: int, chunk: int) -> None:
    losses = []
    for size in (None, chunk):
        with torch.no_grad():
            losses.append(made("untied", torch.float64, size)(*batch(rows)).loss)
    torch.testing.assert_close(*losses)


def test_logits_are_those_of_before() -> None:
    whole, chunked = (made("tied", torch.float32, chunk) for chunk in (None, 5))
    results: list[Output] = [model(batch()[0]) for model in (whole, chunked)]
    assert results[0].logits_BTV is not None
    assert results[1].logits_BTV is not None
    assert torch.equal(results[0].logits_BTV, results[1].logits_BTV)


def test_accumulated_updates_are_the_same() -> None:
    found = []
    for chunk in (None, 5):
        learner = Learner(made("tied", torch.float32, chunk), RunSpec(), nullcontext)
        for _ in range(3):
            learner.gradients([batch(), batch(2)], 2)
            learner.clip()
            learner.apply(1e-3)
        found.append([p.detach() for p in learner.model.parameters()])
    for whole, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-4, atol=1e-5)


COMPILED = """
from functools import partial
from tests.engine.models.test_chunked_loss import *
from engine.training.compilation import compile_learner

torch.compile = partial(torch.compile, backend="eager")
found = []
for compiled in (False, True):
    learner = Learner(made("untied", torch.float32, 5), RunSpec(), nullcontext)
    if compiled:
        assert compile_learner(learner, batch()) == ""
        assert learner.forward is not learner.model
    loss = learner.gradients([batch()], 1)
    found.append([loss, *(p.grad for p in learner.model.parameters())])
for plain, traced in zip(*found, strict=True):
    torch.testing.assert_close(traced, plain)
"""


def test_torch_compile_leaves_it_alone_and_all_gradients_as_they_are() -> None:
    """Traced by torch's compiler as for a run; its backend, which takes a minute, is left out.

    In a process of its own: the compiler warns of its own code and leaves a thread behind.
    """
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], cwd=root, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
