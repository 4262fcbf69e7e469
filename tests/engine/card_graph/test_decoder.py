"""Forward and backward pass against torch's automatic differentiation, in 64 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.backends.tenstorrent import host_arrays
from engine.backends.tenstorrent.numpy_kernels import NumpyKernels
from engine.card_graph.constants import PRECISIONS
from engine.card_graph.decoder import Decoder
from engine.card_graph.ops import Ops
from engine.card_graph.parameters import Gradients
from engine.spec import ModelSpec
from tests.engine.backends.tenstorrent.designs import (
    FLAGS,
    card_specs,
    small,
    tokens,
    torch_model,
    torchs_tables,
    weights_of,
)

TOLERANCE = 1e-9
Weights = dict[str, NDArray[np.float64]]


def on_card(spec: ModelSpec, weights: Weights, *, checkpointing: bool = False) -> Decoder:
    """The decoder on numpy in 64 bits; its precision only names the formats."""
    precision = PRECISIONS["bf16-mixed"]
    return Decoder(spec, Ops(NumpyKernels()), precision, weights, checkpointing=checkpointing)


def gradients_of(model: Decoder, ids: NDArray[np.int64], count: int = 1) -> tuple[float, Weights]:
    """Loss and every gradient, in published shapes."""
    gradients = Gradients(model.ops)
    loss = model.loss_and_gradients(gradients, ids[:, :-1], ids[:, 1:], count)
    found = {
        name: host_arrays.take(model.parameters.placements[name], model.ops.download(gradient))
        for name, gradient in gradients.by_name.items()
    }
    return model.ops.number(loss), found


def distance(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Length of the difference, as a part of the expected length."""
    return float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-12))


def assert_like_torch(spec: ModelSpec, ids: NDArray[np.int64]) -> None:
    """Logits, loss and the gradient of every weight."""
    model = torch_model(spec)
    inputs, targets = torch.from_numpy(ids[:, :-1]), torch.from_numpy(ids[:, 1:])
    logits = model(inputs).logits_BTV
    loss = model(inputs, targets).loss
    loss.backward()
    with torchs_tables():
        card = on_card(spec, weights_of(model))
        assert distance(card.logits(ids[:, :-1]), logits.detach().numpy()) < TOLERANCE
        found, gradients = gradients_of(card, ids)
        assert card.ops.number(card.loss(ids[:, :-1], ids[:, 1:])) == pytest.approx(found)
    assert found == pytest.approx(loss.item(), rel=TOLERANCE)
    assert gradients.keys() == dict(model.named_parameters()).keys()
    whole = sum(parameter.grad.norm() ** 2 for parameter in model.parameters()) ** 0.5
    for name, parameter in model.named_parameters():
        difference = np.linalg.norm(gradients[name] - parameter.grad.numpy())
        # A key's bias moves no score's rank: its gradient is 0 but for rounding.
        assert difference <= TOLERANCE * max(parameter.grad.norm(), 1e-6 * whole), name


@settings(deadline=None, max_examples=40)
@given(spec=card_specs(), data=st.data())
def test_any_design_computes_what_torch_computes(spec: ModelSpec, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, spec.max_seq_len))
    spec = spec.replace(dropout=0.0)  # with it: test_dropout
    assert_like_torch(spec, tokens(spec, data.draw(st.integers(1, 3)), length))


@pytest.mark.parametrize("position", ["none", "sinusoidal", "learned", "rope", "alibi"])
@pytest.mark.parametrize(("norm", "place"), [("rmsnorm", "pre"), ("layernorm", "post")])
@pytest.mark.parametrize("activation", ["relu", "gelu", "swiglu", "geglu"])
def test_each_kind_computes_what_torch_computes(
    position: str, norm: str, place: str, activation: str
) -> None:
    spec = small(position=position, norm=norm, norm_position=place, activation=activation)
    assert_like_torch(spec, tokens(spec, 2, 33))


@pytest.mark.parametrize("flag", FLAGS)
def test_each_bias_and_tie_computes_what_torch_computes(flag: str) -> None:
    spec = small(**{flag: not getattr(small(), flag)})
    assert_like_torch(spec, tokens(spec, 2, 33))


@pytest.mark.parametrize("scaling", ["linear", "ntk", "yarn", "llama3"])
def test_each_stretching_of_rope_computes_what_torch_computes(scaling: str) -> None:
    spec = small(rope_scaling=scaling, rope_factor=4.0)
    assert_like_torch(spec, tokens(spec, 2, 40))


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "swiglu", "norm": "rmsnorm", "position": "rope"},
        {"activation": "gelu", "norm": "layernorm", "position": "learned", "mlp_bias": True},
        {"activation": "geglu", "norm_position": "post", "position": "alibi"},
    ],
)
def test_gradients_are_the_slopes_that_small_steps_find(changes: dict[str, object]) -> None:
    """Central differences, without torch: five numbers of every weight."""
    spec = small(num_layers=1, **changes)  # type: ignore[arg-type]
    weights, ids = weights_of(torch_model(spec)), tokens(spec, 1, 7)
    _, gradients = gradients_of(on_card(spec, weights), ids)
    generator, step = np.random.default_rng(5), 1e-5

    def loss_at(name: str, place: tuple[int, ...], amount: float) -> float:
        moved = weights | {name: weights[name].copy()}
        moved[name][place] += amount
        card = on_card(spec, moved)
        return card.ops.number(card.loss(ids[:, :-1], ids[:, 1:]))

    for name, weight in weights.items():
        for _ in range(5):
            place = tuple(int(generator.integers(size)) for size in weight.shape)
            slope = (loss_at(name, place, step) - loss_at(name, place, -step)) / (2 * step)
            assert gradients[name][place] == pytest.approx(slope, rel=1e-5, abs=1e-8), name


def test_gradient_checkpointing_changes_no_number() -> None:
    spec = small()
    weights, ids = weights_of(torch_model(spec)), tokens(spec, 2, 33)
    plain = gradients_of(on_card(spec, weights), ids)
    again = gradients_of(on_card(spec, weights, checkpointing=True), ids)
    assert again[0] == plain[0]
    for name, gradient in plain[1].items():
        np.testing.assert_array_equal(again[1][name], gradient)


def test_what_fills_tiles_stays_zero_and_changes_nothing() -> None:
    """Every number of a gradient outside the published shape is exactly 0."""
    spec = small(mlp_bias=True, qkv_bias=True, head_bias=True, position="learned")
    card = on_card(spec, weights_of(torch_model(spec)))
    gradients, ids = Gradients(card.ops), tokens(spec, 2, 33)
    card.loss_and_gradients(gradients, ids[:, :-1], ids[:, 1:], 1)
    grown = 0
    for name, gradient in gradients.by_name.items():
        place, stored = card.parameters.placements[name], card.ops.download(gradient)
        kept = host_arrays.take(place, stored)
        np.testing.assert_array_equal(host_arrays.put(place, kept), stored)
        grown += stored.size > np.prod(place.shape)
    assert grown > 10


def test_tokens_to_come_change_no_score() -> None:
    spec = small()
    card, ids = on_card(spec, weights_of(torch_model(spec))), tokens(spec, 1, 37)[:, :-1]
    changed = ids.copy()
    changed[0, -1] = (ids[0, -1] + 1) % spec.vocab_size
    before, after = card.logits(ids), card.logits(changed)
    np.testing.assert_array_equal(before[:, :-1], after[:, :-1])
    assert np.abs(before[:, -1] - after[:, -1]).max() > 1e-3


@pytest.mark.parametrize("length", [1, 7, 32, 33, 40])
def test_the_next_token_is_scored_as_the_last_of_all(length: int) -> None:
    """Also where the text is filled up to the length of an earlier one."""
    spec = small(head_bias=True)
    card, ids = on_card(spec, weights_of(torch_model(spec))), tokens(spec, 1, length)[:, :-1]
    expected = card.logits(ids)[0, -1]
    for before in (32, 40):
        card.logits(tokens(spec, 1, before)[:, :-1])
        np.testing.assert_allclose(card.next_logits(ids[0]), expected, rtol=1e-12)


def test_sequences_that_fill_a_batch_count_nothing() -> None:
    spec = small()
    card, ids = on_card(spec, weights_of(torch_model(spec))), tokens(spec, 2, 33)
    plain, filled = (card.loss(ids[:, :-1], ids[:, 1:], rows) for rows in (0, 5))
    assert card.ops.number(filled) == pytest.approx(card.ops.number(plain), rel=1e-12)


def test_more_tokens_than_the_context_are_refused() -> None:
    spec = small()
    card = on_card(spec, weights_of(torch_model(spec)))
    with pytest.raises(ValueError, match="crop the text"):
        card.logits(tokens(spec, 1, 41)[:, :-1])


def test_weights_of_another_design_are_refused() -> None:
    spec = small()
    weights = weights_of(torch_model(spec))
    with pytest.raises(ValueError, match="do not belong"):
        on_card(spec.replace(qkv_bias=True), weights)
    with pytest.raises(ValueError, match="shape"):
        on_card(spec.replace(mlp_dim=44), weights)
