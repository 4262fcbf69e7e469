"""Dropout: the same masks forward and backward, as torch computes with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor

from engine.backends.tenstorrent import host_arrays
from engine.backends.tenstorrent.numpy_kernels import NumpyKernels
from engine.card_graph import dropout
from engine.card_graph.constants import PRECISIONS
from engine.card_graph.decoder import Decoder
from engine.card_graph.dropout import Dropout
from engine.card_graph.ops import Ops
from engine.card_graph.parameters import Gradients
from engine.models import attention
from engine.spec import ModelSpec
from tests.engine.backends.tenstorrent.designs import (
    small,
    tokens,
    torch_model,
    torchs_tables,
    weights_of,
)

KEY, PROBABILITY = (7, 3, 0), 0.25
WHOLE_TILES: dict[str, Any] = {"vocab_size": 32, "max_seq_len": 64, "mlp_dim": 64, "head_dim": 32}


def learned(spec: ModelSpec, *, checkpointing: bool = False) -> tuple[float, dict[str, Any]]:
    """Loss and gradients of one pass on numpy."""
    weights, ids = weights_of(torch_model(spec)), tokens(spec, 2, 64)
    card = Decoder(
        spec, Ops(NumpyKernels()), PRECISIONS["fp32"], weights, checkpointing=checkpointing
    )
    gradients = Gradients(card.ops)
    loss = card.loss_and_gradients(gradients, ids[:, :-1], ids[:, 1:], 1, KEY)
    places = card.parameters.placements
    return card.ops.number(loss), {
        name: host_arrays.take(places[name], card.ops.download(gradient))
        for name, gradient in gradients.by_name.items()
    }


@contextmanager
def torch_with_our_masks(spec: ModelSpec) -> Iterator[None]:
    """torch's dropout takes the masks that the card's pass with KEY draws, in the same order."""
    ours, shape = Dropout(Ops(NumpyKernels()), PROBABILITY, KEY), (1, 1, 2 * 64, spec.hidden_dim)

    def scaled(wanted: tuple[int, int, int, int], layer: int, place: int) -> Tensor:
        ones = ours._ops.upload(np.ones(wanted), "fp32")
        return torch.from_numpy(ours._ops.download(ours.apply(ones, layer, place)))

    places = [(0, dropout.EMBEDDING)]
    for layer in range(spec.num_layers):
        places += [(layer, dropout.ATTENTION_OUTPUT), (layer, dropout.FEED_FORWARD_OUTPUT)]
    queue, layers = iter(places), iter(range(spec.num_layers))

    def drop(x_BTD: Tensor, probability: float, training: bool) -> Tensor:
        assert (probability, training) == (PROBABILITY, True)
        return x_BTD * scaled(shape, *next(queue)).reshape(x_BTD.shape)

    def attend(q_BHTh: Tensor, k: Tensor, v: Tensor, around: Any, probability: float) -> Tensor:
        assert probability == PROBABILITY
        batch, heads, length, size = q_BHTh.shape
        ahead = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores = (q_BHTh @ k.mT * size**-0.5).masked_fill(ahead, -torch.inf)
        groups = (batch, spec.num_kv_heads, heads // spec.num_kv_heads * length, length)
        mask = scaled(groups, next(layers), dropout.ATTENTION)
        return (scores.softmax(dim=-1) * mask.reshape(scores.shape)) @ v

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "dropout", drop)
        patch.setattr(attention, "attend", attend)
        yield
    assert next(queue, None) is next(layers, None) is None


@pytest.mark.parametrize("place", ["pre", "post"])
def test_with_the_same_masks_it_computes_what_torch_computes(place: str) -> None:
    spec = small(dropout=PROBABILITY, norm_position=place, **WHOLE_TILES)
    model, ids = torch_model(spec), tokens(spec, 2, 64)
    with torch_with_our_masks(spec):
        inputs, targets = torch.from_numpy(ids[:, :-1]), torch.from_numpy(ids[:, 1:])
        loss = model(inputs, targets).loss
        loss.backward()
    with torchs_tables():
        found, gradients = learned(spec)
    assert found == pytest.approx(loss.item(), rel=1e-12)
    for name, parameter in model.named_parameters():
        difference = np.linalg.norm(gradients[name] - parameter.grad.numpy())
        assert difference <= 1e-9 * parameter.grad.norm(), name


def test_forgotten_blocks_are_computed_again_with_the_same_masks() -> None:
    spec = small(dropout=PROBABILITY, **WHOLE_TILES)
    plain, again = learned(spec), learned(spec, checkpointing=True)
    assert again[0] == plain[0]
    for name, gradient in plain[1].items():
        np.testing.assert_array_equal(again[1][name], gradient)


def test_measuring_and_writing_drop_nothing() -> None:
    spec, ids = small(), tokens(small(), 2, 33)
    found = []
    for probability in (0.0, 0.5):
        card = Decoder(
            spec.replace(dropout=probability), Ops(NumpyKernels()), PRECISIONS["fp32"],
            weights_of(torch_model(spec)),
        )  # fmt: skip
        loss = card.ops.number(card.loss(ids[:, :-1], ids[:, 1:]))
        found.append((loss, *card.next_logits(ids[0, :-1])))
    assert found[0] == found[1]


def test_a_mask_drops_its_part_and_keeps_the_mean() -> None:
    ops = Ops(NumpyKernels())
    ones = ops.upload(np.ones((1, 1, 256, 256)), "fp32")
    kept = ops.download(Dropout(ops, 0.25, KEY).apply(ones, 0, dropout.EMBEDDING))
    assert set(np.unique(kept)) == {0.0, 1 / 0.75}
    assert (kept == 0).mean() == pytest.approx(0.25, abs=0.01)


def test_each_pass_layer_and_place_has_a_mask_of_its_own_and_always_the_same() -> None:
    def mask(key: tuple[int, ...], layer: int, place: int) -> bytes:
        ops = Ops(NumpyKernels())
        ones = ops.upload(np.ones((1, 1, 32, 32)), "fp32")
        return ops.download(Dropout(ops, 0.5, key).apply(ones, layer, place)).tobytes()

    keys = [((seed, step, micro), layer, place) for seed in (1, 2**62) for step in (0, 9)
            for micro in (0, 1) for layer in (0, 1) for place in range(4)]  # fmt: skip
    masks = [mask(*key) for key in keys]
    assert len(set(masks)) == len(keys)
    assert masks == [mask(*key) for key in keys]
