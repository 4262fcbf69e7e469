from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from engine.cost.flops import (
    flops_per_token,
    matmul_parameters,
    recomputed_flops_per_token,
    update_flops,
)
from engine.presets import preset
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs

NANO = ModelSpec()


def test_nano_trickster() -> None:
    flops = flops_per_token(NANO, 512)
    assert flops.training == 40_501_248
    shares = {part: round(100 * n / flops.training, 1) for part, n in flops.parts.items()}
    assert shares == {"mlp": 52.4, "projections": 23.3, "scores": 23.3, "head": 1.0}


@given(model_specs(large=True), st.integers(1, 100_000))
def test_palms_form(spec: ModelSpec, seq_len: int) -> None:
    flops = flops_per_token(spec, seq_len)
    matmul = sum(matmul_parameters(spec).values())
    scores = 12 * spec.num_layers * spec.num_heads * spec.head_size * seq_len
    assert flops.training == 6 * matmul + scores == sum(flops.parts.values()) == 3 * flops.forward
    head = 2 * spec.vocab_size * spec.hidden_dim
    assert recomputed_flops_per_token(spec, seq_len) == flops.forward - head


def test_tying_changes_no_flops_and_an_untied_embedding_is_a_lookup() -> None:
    assert flops_per_token(NANO, 8) == flops_per_token(NANO.replace(tied_embeddings=False), 8)


def test_doubling_the_sequence_doubles_scores_a_token_only() -> None:
    once, twice = flops_per_token(NANO, 512).parts, flops_per_token(NANO, 1_024).parts
    assert twice["scores"] == 2 * once["scores"]
    assert {part: twice[part] for part in ("projections", "mlp", "head")} == {
        part: once[part] for part in ("projections", "mlp", "head")
    }


def test_tinyllama_costs_160_times_nano_trickster() -> None:
    ratio = (
        flops_per_token(preset("tinyllama-1.1b").model, 512).training
        / flops_per_token(NANO, 512).training
    )
    assert ratio == pytest.approx(160, rel=0.03)


def test_what_is_no_product_of_matrices_is_told_apart() -> None:
    """RMSNorm 4 a number, SiLU and gate 5, softmax 6 a score, rotation 3, two residual sums."""
    d, m, heads, h, s = 256, 768, 8, 32, 512
    block = 2 * 4 * d + 5 * m + 2 * d + 6 * heads * s + 3 * 16 * h
    forward = 6 * block + 4 * d + 5 * 256
    flops = flops_per_token(NANO, s)
    assert flops.other == 3 * forward
    assert sum(flops.parts.values()) == flops.training  # not in what everybody calls FLOPs
    assert 0.01 < flops.other / flops.training < 0.03


@given(model_specs(large=True), st.integers(1, 10_000))
def test_other_arithmetic_grows_with_every_option_that_adds_some(
    spec: ModelSpec, seq_len: int
) -> None:
    plain = spec.replace(qkv_bias=False, mlp_bias=False, head_bias=False, dropout=0.0)
    more = spec.replace(qkv_bias=True, mlp_bias=True, head_bias=True, dropout=0.1)
    assert 0 < flops_per_token(plain, seq_len).other < flops_per_token(more, seq_len).other


def test_the_update_of_the_weights_is_small_beside_a_batch() -> None:
    step = flops_per_token(NANO, 512).training * 16 * 512
    assert update_flops(5_180_672) == 18 * 5_180_672 < step / 1_000


def test_it_says_what_causal_means() -> None:
    assert "about half" in flops_per_token(NANO, 8).note


def by_hand(spec: ModelSpec, batch: int, seq_len: int) -> torch.Tensor:
    """A decoder of plain matrix products, attention written out: what FlopCounterMode can see."""

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, requires_grad=True)

    d, h = spec.hidden_dim, spec.head_size
    queries, keys = spec.num_heads * h, spec.num_kv_heads * h
    x = torch.randn(batch * seq_len, d, requires_grad=True)
    for _ in range(spec.num_layers):
        q = (x @ matrix(d, queries)).view(batch, seq_len, spec.num_heads, h).transpose(1, 2)
        k, v = (
            (x @ matrix(d, keys))
            .view(batch, seq_len, spec.num_kv_heads, h)
            .transpose(1, 2)
            .repeat_interleave(spec.num_heads // spec.num_kv_heads, dim=1)
            for _ in range(2)
        )
        heads = (q @ k.mT / math.sqrt(h)).softmax(-1) @ v
        x = x + heads.transpose(1, 2).reshape(batch * seq_len, queries) @ matrix(queries, d)
        up = x @ matrix(d, spec.mlp_dim)
        if spec.gated:
            up = up * torch.sigmoid(x @ matrix(d, spec.mlp_dim))
        x = x + up @ matrix(spec.mlp_dim, d)
    return (x @ matrix(d, spec.vocab_size)).sum()


@pytest.mark.leaves_behind("torch's counter makes an empty folder for its compiler")
@settings(max_examples=25)
@given(model_specs(), st.integers(1, 3))
def test_torchs_own_counter_agrees_exactly(spec: ModelSpec, batch: int) -> None:
    seq_len = spec.max_seq_len
    with FlopCounterMode(display=False) as counter:
        by_hand(spec, batch, seq_len).backward()
    assert counter.get_total_flops() == (flops_per_token(spec, seq_len).training * batch * seq_len)
