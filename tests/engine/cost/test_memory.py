from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cost.memory import memory_of_batch, phase_lines, training_memory
from engine.cost.parameters import count
from engine.cost.passes import validation_pass
from engine.cost.tape import BACKWARD_BETWEEN, KINDS
from engine.presets import preset
from engine.run_spec import RunSpec
from engine.spec import ModelSpec, check
from engine.training.traced_step import traced_run, traced_sampling
from tests.engine.strategies import model_specs, run_specs

MIB = 1 << 20
NANO = ModelSpec()

# A design of each kind that people train, with one thing apart in each.
NAMED = {
    "plain": ({}, {}),
    "mixed": ({}, {"precision": "bf16-mixed"}),
    "pure bf16": ({}, {"precision": "bf16"}),
    "mixed, attention in fp32": ({}, {"precision": "bf16-mixed", "device": "cpu"}),
    "pure bf16, attention in fp32": (
        {"num_kv_heads": 2}, {"precision": "bf16", "device": "cpu"},
    ),
    "grouped queries": ({"num_kv_heads": 2}, {}),
    "gelu, biases, LayerNorm, learned": (
        {"activation": "gelu", "mlp_bias": True, "qkv_bias": True, "attention_output_bias": True,
         "norm": "layernorm", "position": "learned"}, {},
    ),
    "large vocabulary": ({"vocab_size": 8_000, "tied_embeddings": False}, {}),
    "checkpointing": ({}, {"gradient_checkpointing": True}),
    "mixed, checkpointing, fullest while a block is computed again": (
        {"mlp_dim": 128, "norm": "layernorm", "num_layers": 3},
        {"precision": "bf16-mixed", "gradient_checkpointing": True, "batch_size": 64},
    ),
    "mixed, fullest in validation": (
        {"hidden_dim": 64, "mlp_dim": 128, "max_seq_len": 64, "num_layers": 1, "vocab_size": 256},
        {"precision": "bf16-mixed", "batch_size": 1},
    ),
    "accumulation": ({}, {"accumulation_steps": 2}),
    "dropout": ({"dropout": 0.1}, {}),
    "post-norm": ({"norm_position": "post"}, {}),
    "alibi": ({"position": "alibi"}, {}),
    "sgd": ({}, {"optimizer": "sgd"}),
    "momentum": ({}, {"optimizer": "sgd-momentum"}),
    "loss in chunks": ({"vocab_size": 8_000}, {"loss_chunk": 32}),
    "loss in chunks, mixed": (
        {"vocab_size": 8_000, "tied_embeddings": False, "head_bias": True},
        {"loss_chunk": 50, "precision": "bf16-mixed", "accumulation_steps": 2},
    ),
    "loss in chunks, pure bf16": (
        {"vocab_size": 8_000, "head_bias": True},
        {"loss_chunk": 1_000, "precision": "bf16", "gradient_checkpointing": True},
    ),
    "loss in chunks, 16 tokens in all": (
        {"vocab_size": 8_000, "max_seq_len": 16}, {"loss_chunk": 16, "batch_size": 1},
    ),
    "adafactor": ({}, {"optimizer": "adafactor"}),
    "8-bit": ({}, {"optimizer": "adamw-8bit"}),
    "8-bit, full during the update": (
        {"num_layers": 1, "max_seq_len": 16, "mlp_dim": 2_000},
        {"optimizer": "adamw-8bit", "batch_size": 1},
    ),
    "adafactor, full during the update": (
        {"norm": "layernorm", "max_seq_len": 8, "tied_embeddings": False, "vocab_size": 500},
        {"optimizer": "adafactor", "batch_size": 1, "precision": "bf16"},
    ),
    "written out": ({}, {"attention": "materialised"}),
    "written out, mixed": ({}, {"attention": "materialised", "precision": "bf16-mixed"}),
    "written out, pure bf16, grouped, alibi": (
        {"num_kv_heads": 2, "position": "alibi"},
        {"attention": "materialised", "precision": "bf16", "device": "cpu"},
    ),
    "written out, dropout, checkpointing": (
        {"dropout": 0.1}, {"attention": "materialised", "gradient_checkpointing": True},
    ),
}  # fmt: skip


def error(spec: ModelSpec, run: RunSpec) -> float:
    """By what part the formula is above the trace, of a step or the whole run: the worse."""
    predicted, trace = training_memory(spec, run), traced_run(spec, run)
    apart = {BACKWARD_BETWEEN}  # which the formula leaves out: its neighbours are fuller
    assert {phase.name for phase in predicted.phases} == set(trace.phases) - apart
    pairs = (
        (predicted.peak_bytes, trace.peak_bytes),
        (predicted.step_peak_bytes, trace.step_peak_bytes),
    )
    return max((formula / truth - 1 for formula, truth in pairs), key=abs)


@pytest.mark.parametrize("name", NAMED)
def test_the_traced_run_agrees_within_a_thousandth(name: str) -> None:
    model, settings = NAMED[name]
    spec = ModelSpec(
        hidden_dim=128, num_layers=2, num_heads=4, num_kv_heads=4, mlp_dim=384, max_seq_len=128
    ).replace(**model)  # type: ignore[arg-type]
    run = RunSpec(batch_size=8).replace(**settings)  # type: ignore[arg-type]
    assert abs(error(spec, run)) < 0.001


def drawn(seed: int) -> tuple[ModelSpec, RunSpec]:
    """A random design of a size at which a training step is more than its overheads."""
    rng = random.Random(seed)
    heads, size = rng.choice((2, 4, 8)), rng.choice((16, 32, 64))
    spec = ModelSpec(
        hidden_dim=heads * size,
        num_layers=rng.randint(1, 3),
        max_seq_len=rng.choice((64, 128, 256)),
        num_heads=heads,
        num_kv_heads=rng.choice((1, 2, heads)),
        qkv_bias=rng.random() < 0.5,
        attention_output_bias=rng.random() < 0.5,
        mlp_dim=heads * size * rng.randint(1, 4),
        activation=rng.choice(("relu", "gelu", "swiglu", "geglu")),
        mlp_bias=rng.random() < 0.5,
        position=rng.choice(("none", "sinusoidal", "learned", "rope", "alibi")),
        norm=rng.choice(("rmsnorm", "layernorm")),
        norm_position=rng.choice(("pre", "post")),
        dropout=rng.choice((0.0, 0.0, 0.1)),
        vocab_size=rng.choice((65, 256, 1_000, 5_000)),
        tied_embeddings=rng.random() < 0.5,
        head_bias=rng.random() < 0.2,
    )
    run = RunSpec(
        batch_size=rng.choice((2, 4, 8, 16)),
        accumulation_steps=rng.choice((1, 1, 2)),
        precision=rng.choice(("fp32", "bf16-mixed", "bf16")),
        optimizer=rng.choice(("adamw", "sgd", "sgd-momentum", "adafactor", "adamw-8bit")),
        gradient_checkpointing=rng.random() < 0.25,
        device=rng.choice(("auto", "cpu")),
        loss_chunk=rng.choice((None, None, 16, 50, 1_000)),
    )
    return check(spec), run


def test_random_designs_agree_with_the_traced_run() -> None:
    errors = {seed: abs(error(*drawn(seed))) for seed in range(8)}
    assert max(errors.values()) < 0.005, errors
    assert sorted(errors.values())[len(errors) // 2] < 1e-4, errors


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_phase_agrees_not_only_the_fullest(seed: int) -> None:
    spec, run = drawn(seed)
    trace = traced_run(spec, run)
    for phase in training_memory(spec, run).phases:
        assert phase.bytes == pytest.approx(trace.phases[phase.name], rel=0.01), phase.name


def test_with_a_tiny_batch_validation_is_the_fullest() -> None:
    small = NANO.replace(hidden_dim=64, num_layers=2, num_heads=2, num_kv_heads=2, mlp_dim=128)
    memory = training_memory(small, RunSpec(batch_size=1, seq_len=16))
    assert memory.peak_phase == "validation"
    assert memory.step_peak_bytes < memory.peak_bytes


def test_validation_grows_with_the_batch_only_beyond_what_it_takes_anyway() -> None:
    lines = [line for line in phase_lines(NANO, RunSpec()) if line.name == "validation"]
    least, most = validation_pass(NANO, RunSpec())
    assert 1 < least < most
    for line in lines:
        assert line.at(1) == line.at(least) < line.at(least + 1)
        assert line.at(most) == line.at(most + 1)


def test_an_empty_prompt_is_written_on_from_nothing() -> None:
    spec, run = NANO, RunSpec(prompts=("",), sample_tokens=1)
    size = {p.name: p.bytes for p in training_memory(spec, run).phases}["sampling"]
    assert abs(size - traced_sampling(spec, run)) < 64  # a few single numbers


def test_a_long_prompt_makes_sampling_the_fullest_for_a_wide_window() -> None:
    spec = NANO.replace(max_seq_len=4_096)
    run = RunSpec(batch_size=1, seq_len=1, validation_tokens=1, prompts=("x" * 4_000,))
    assert training_memory(spec, run).peak_phase == "sampling"


@given(st.data())
def test_kinds_sum_exactly_to_each_phase_and_the_peak_is_their_largest(data: st.DataObject) -> None:
    spec = data.draw(model_specs())
    memory = training_memory(spec, data.draw(run_specs(spec)))
    for phase in memory.phases:
        assert sum(phase.kinds.values()) == phase.bytes
        assert all(size >= 0 for size in phase.kinds.values())
        assert tuple(phase.kinds) == KINDS
    assert memory.peak_bytes == max(phase.bytes for phase in memory.phases)
    assert sum(memory.at_peak.values()) == memory.peak_bytes
    assert memory.peak_phase in {phase.name for phase in memory.phases}


@given(st.data())
def test_memory_never_falls_with_a_larger_batch(data: st.DataObject) -> None:
    spec = data.draw(model_specs())
    run = data.draw(run_specs(spec))
    sizes = [memory_of_batch(spec, run, batch).peak_bytes for batch in range(1, 6)]
    assert sizes == sorted(sizes)
    highest = max(line.at(3) for line in phase_lines(spec, run))
    assert highest == sizes[2]


def test_weights_gradients_and_optimizer_of_nano_trickster() -> None:
    memory = training_memory(NANO, RunSpec(batch_size=16))
    total = count(NANO).total
    assert memory.weights_bytes == 4 * total
    assert memory.gradients_bytes == 4 * total
    assert memory.optimizer_bytes == 8 * total
    pure = training_memory(NANO, RunSpec(batch_size=16, precision="bf16"))
    assert pure.weights_bytes == 6 * total  # with the fp32 copy that the optimizer updates


def test_the_lessons_17_gb_for_1_1_billion_parameters_do_not_suffice() -> None:
    memory = training_memory(preset("tinyllama-1.1b").model, RunSpec(batch_size=8, seq_len=512))
    assert memory.peak_bytes > 17 * 10**9


def test_checkpointing_and_plain_sgd_save_memory() -> None:
    run = RunSpec(batch_size=16)
    plain = training_memory(NANO, run).peak_bytes
    assert training_memory(NANO, run.replace(gradient_checkpointing=True)).peak_bytes < plain / 2
    assert training_memory(NANO, run.replace(optimizer="sgd")).peak_bytes < plain


def test_a_loss_in_chunks_takes_most_of_a_large_vocabularys_memory_away() -> None:
    spec, run = preset("gpt2").model, RunSpec(batch_size=8, gradient_checkpointing=True)
    whole = training_memory(spec, run)
    chunked = training_memory(spec, run.replace(loss_chunk=256))
    assert whole.logits_bytes == 12 * 8 * 1_024 * 50_257
    assert chunked.logits_bytes == 8 * 256 * 50_257
    assert chunked.peak_bytes < 0.6 * whole.peak_bytes


def test_accumulation_costs_the_gradients_only() -> None:
    run = RunSpec(batch_size=16)
    more = training_memory(NANO, run.replace(accumulation_steps=4)).peak_bytes
    assert 0 < more - training_memory(NANO, run).peak_bytes <= 4 * count(NANO).total
