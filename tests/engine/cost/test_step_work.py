"""Amounts of work in closed form, held against counting one by one."""

from __future__ import annotations

import pytest

from engine.cost.flops import flops_per_token
from engine.cost.parameters import count
from engine.cost.step_work import (
    Work,
    optimizer_is_known,
    scores_are_materialised,
    step_work,
)
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

NANO, RUN = ModelSpec(), RunSpec(batch_size=8)
BASE = step_work(NANO, RUN)


def test_products_are_what_flops_count() -> None:
    parts = flops_per_token(NANO, 512).parts
    assert BASE.product_flops == sum(parts.values()) * 8 * 512 - parts["scores"] * 8 * 512


@pytest.mark.parametrize(
    ("length", "queries"),
    [(31, 32), (150, 32), (200, 64), (700, 64), (768, 256), (1_500, 256), (4_096, 256)],
)
def test_causal_attention_leaves_out_blocks_that_are_ahead(length: int, queries: int) -> None:
    """Row by row of queries: each reaches the blocks of 512 keys that its last query sees."""
    spec = NANO.replace(max_seq_len=length)
    blocks = entries = 0
    for first in range(0, length, queries):
        for key in range(0, min(first + queries, length), 512):
            blocks += 1
            entries += min(queries, length - first) * min(512, length - key)
    work = step_work(spec, RUN)
    passes, heads = 6 * 3.5, 8 * 8
    assert work.score_blocks == pytest.approx(passes * 2 * heads * blocks)
    assert work.scores == pytest.approx(passes * heads * entries, rel=0.03)
    assert work.score_flops == 4 * 32 * work.scores


def test_a_mask_has_to_be_looked_at_everywhere() -> None:
    alibi = step_work(NANO.replace(position="alibi", max_seq_len=1_024), RUN)
    assert alibi.scores == 6 * 3.5 * 8 * 8 * 1_024**2


def test_accumulation_repeats_everything_but_the_update() -> None:
    thrice = step_work(NANO, RUN.replace(accumulation_steps=3))
    for kind in ("product_flops", "product_bytes", "scores", "element_bytes", "logit_bytes"):
        assert getattr(thrice, kind) == 3 * getattr(BASE, kind)
    assert BASE.operations < thrice.operations < 3 * BASE.operations
    added = thrice.parameter_bytes - 3 * BASE.parameter_bytes
    assert added < 0, "one update for three batches"


def test_checkpointing_repeats_the_blocks_forward_pass() -> None:
    again = step_work(NANO, RUN.replace(gradient_checkpointing=True))
    parts = flops_per_token(NANO, 512).parts
    extra = (parts["projections"] + parts["mlp"]) / 3 * 8 * 512
    assert again.product_flops - BASE.product_flops == extra
    assert again.scores == BASE.scores * 4.5 / 3.5
    assert again.logit_bytes == BASE.logit_bytes


def test_dropout_writes_scores_out_on_the_cpu_only() -> None:
    dropped = NANO.replace(dropout=0.1)
    assert scores_are_materialised(dropped, RUN, "cpu")
    assert not scores_are_materialised(dropped, RUN, "cuda:0")
    assert not scores_are_materialised(NANO, RUN, "cpu")
    here, there = step_work(dropped, RUN, "cpu"), step_work(dropped, RUN, "cuda:0")
    assert BASE.random_numbers == 0
    scores = 6 * 8 * 8 * 512**2
    assert here.random_numbers - there.random_numbers == scores
    assert here.element_bytes - there.element_bytes == 4 * 26 * scores


@pytest.mark.parametrize(
    ("optimizer", "bytes_a_parameter"), [("adamw", 40), ("sgd-momentum", 40), ("sgd", 32)]
)
def test_the_update_goes_over_weights_gradients_and_state(
    optimizer: str, bytes_a_parameter: int
) -> None:
    work = step_work(NANO, RUN.replace(optimizer=optimizer))
    table = 4 * 4 * 256 * 256
    assert work.parameter_bytes == bytes_a_parameter * count(NANO).total + table
    assert optimizer_is_known(RUN.replace(optimizer=optimizer))


def test_an_optimizer_that_is_not_known_is_guessed() -> None:
    run = RUN.replace(optimizer="of-next-year")
    assert not optimizer_is_known(run)
    assert step_work(NANO, run).parameter_bytes > BASE.parameter_bytes


def test_what_is_large_is_shared_and_what_is_huge_is_made_anew() -> None:
    small = step_work(NANO.replace(max_seq_len=8), RUN.replace(batch_size=1))
    assert small.operations == BASE.operations
    assert small.shared_operations < BASE.shared_operations <= BASE.operations
    assert BASE.fresh_bytes == 0
    many = step_work(NANO.replace(vocab_size=32_000), RUN)
    assert many.fresh_bytes == 4 * 4 * 8 * 512 * 32_000, "no other tensor has 32 MiB"
    table = step_work(NANO.replace(vocab_size=32_768), RUN.replace(batch_size=1, seq_len=8))
    assert table.fresh_bytes == 2 * 4 * 32_768 * 256


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_dim": 512}, {"num_layers": 7}, {"mlp_dim": 800}, {"vocab_size": 300},
        {"max_seq_len": 600}, {"qkv_bias": True}, {"activation": "geglu"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed", "bf16"])
def test_more_of_anything_is_more_work(changes: dict[str, int], precision: str) -> None:
    run = RUN.replace(precision=precision)
    smaller, larger = step_work(NANO, run), step_work(NANO.replace(**changes), run)
    assert all(after >= before for before, after in zip(smaller, larger, strict=True))
    if changes != {"activation": "geglu"}:
        assert larger != smaller


def test_grouped_heads_and_norms_are_work_of_their_own() -> None:
    grouped = step_work(NANO.replace(num_kv_heads=2), RUN)
    assert grouped.product_flops < BASE.product_flops
    assert grouped.scores == BASE.scores
    fused = step_work(NANO.replace(norm="layernorm"), RUN)
    assert fused.operations < BASE.operations
    plain = step_work(NANO.replace(position="none", activation="relu"), RUN)
    assert plain.element_bytes < BASE.element_bytes


def test_sixteen_bits_halve_what_products_read_and_cast_weights() -> None:
    mixed = step_work(NANO, RUN.replace(precision="bf16-mixed"))
    assert mixed.product_bytes == BASE.product_bytes / 2
    assert mixed.parameter_bytes > BASE.parameter_bytes
    assert mixed.operations > BASE.operations
    assert isinstance(mixed, Work)
