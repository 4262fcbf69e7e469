"""Designs that a card can train, the same model in torch, and random tokens for both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.backends.tenstorrent import host_arrays
from engine.card_graph.layout import Sizes
from engine.models import positions
from engine.models.decoder import Decoder, build
from engine.parameter import Value
from engine.spec import ModelSpec, check
from tests.engine.models.designs import ACTIVATIONS, NORMS, PLACEMENTS, POSITIONS

SMALL = ModelSpec(
    hidden_dim=32, num_layers=2, num_heads=4, num_kv_heads=2, mlp_dim=40, max_seq_len=40,
    vocab_size=37, init_std=0.2,
)  # fmt: skip
FLAGS = ("qkv_bias", "attention_output_bias", "mlp_bias", "tied_embeddings", "head_bias")


def small(**changes: Value) -> ModelSpec:
    """A model whose head size, width inside, vocabulary and context are no whole tiles."""
    return check(SMALL.replace(**changes))


@st.composite
def card_specs(draw: st.DrawFn) -> ModelSpec:
    """Any design that the backend takes, tiny, with every option drawn."""
    kv_heads = draw(st.sampled_from((1, 2, 4)))
    heads = kv_heads * draw(st.sampled_from((1, 2, 3)))
    explicit = heads % 3 == 0 or draw(st.booleans())
    return check(
        ModelSpec(
            hidden_dim=draw(st.sampled_from((32, 64))),
            num_layers=draw(st.integers(1, 2)),
            num_heads=heads,
            num_kv_heads=kv_heads,
            head_dim=2 * draw(st.integers(1, 20)) if explicit else None,
            mlp_dim=draw(st.integers(1, 70)),
            max_seq_len=draw(st.integers(3, 70)),
            vocab_size=draw(st.integers(2, 70)),
            position=draw(st.sampled_from(POSITIONS)),
            activation=draw(st.sampled_from(ACTIVATIONS)),
            norm=draw(st.sampled_from(NORMS)),
            norm_position=draw(st.sampled_from(PLACEMENTS)),
            dropout=draw(st.sampled_from((0.0, 0.1))),
            norm_eps=draw(st.sampled_from((1e-5, 1e-2))),
            rope_theta=draw(st.sampled_from((100.0, 1e4, 5e5))),
            rope_scaling=draw(st.sampled_from(("none", "linear", "ntk", "yarn", "llama3"))),
            rope_factor=draw(st.sampled_from((1.0, 2.0, 8.0))),
            init_std=0.2,
            **{flag: draw(st.booleans()) for flag in FLAGS},
        )
    )


def torch_model(spec: ModelSpec, seed: int = 3) -> Decoder:
    """The torch model in 64 bits, with vectors moved off their start, so that each matters."""
    model = build(spec, dtype=torch.float64, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn(
                    parameter.shape, generator=generator, dtype=torch.float64
                )
    return model


def weights_of(model: Decoder) -> dict[str, NDArray[np.float64]]:
    """Copies of all weights by name."""
    return {name: weight.detach().numpy().copy() for name, weight in model.named_parameters()}


def tokens(spec: ModelSpec, rows: int, length: int, seed: int = 0) -> NDArray[np.int64]:
    """Random ids (rows, length + 1): inputs and, one further on, targets."""
    generator = np.random.default_rng(seed)
    return generator.integers(spec.vocab_size, size=(rows, length + 1))


@contextmanager
def torchs_tables() -> Iterator[None]:
    """The tables as torch computes them, in fp32, so that all else can be compared in 64 bits.

    test_host_arrays compares the tables themselves.
    """

    def rotation(spec: ModelSpec, length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        pair = positions.rotation_table(torch.arange(length), spec, torch.float64)
        filling = ((0, 0), (0, Sizes(spec).head - spec.head_size))
        cosines, sines = (np.pad(np.tile(part[:, 0].numpy(), 2), filling) for part in pair)
        return cosines, sines

    def sinusoids(spec: ModelSpec, length: int) -> NDArray[np.float64]:
        table = positions.sinusoidal_table(torch.arange(length), spec.hidden_dim)
        return table.double().numpy()

    def scores(spec: ModelSpec, length: int) -> NDArray[np.float64]:
        if spec.position != "alibi":
            return own_scores(spec, length)
        places = torch.arange(length)
        bias = positions.alibi_bias(places, places, spec.num_heads).double()
        return bias.clamp(min=host_arrays.FORBIDDEN).numpy()

    own_scores = host_arrays.score_mask
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_arrays, "rotation_tables", rotation)
        patch.setattr(host_arrays, "sinusoidal_table", sinusoids)
        patch.setattr(host_arrays, "score_mask", scores)
        yield
