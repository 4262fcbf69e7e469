from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cost.memory import training_memory
from engine.cost.remedies import changed, possible_changes, remedies
from engine.presets import preset
from engine.run_spec import RunSpec, run_problems
from engine.spec import ModelSpec, problems
from tests.engine.strategies import model_specs, run_specs

NANO = ModelSpec()


def words(spec: ModelSpec, run: RunSpec) -> list[str]:
    return [remedy.change.words for remedy in remedies(spec, run)]


def test_where_activations_fill_the_memory_checkpointing_saves_most() -> None:
    found = remedies(NANO, RunSpec(batch_size=16))
    assert found[0].change.words == "Gradient checkpointing"
    lighter = training_memory(NANO, RunSpec(batch_size=16, gradient_checkpointing=True))
    assert found[0].peak_bytes == lighter.peak_bytes
    assert found[0].peak_phase == lighter.peak_phase


def test_where_optimizer_state_does_another_optimizer_saves_most() -> None:
    found = remedies(preset("tinyllama-1.1b").model, RunSpec(batch_size=1, seq_len=64))
    assert "optimizer" in found[0].change.run


def test_half_the_batch_keeps_the_learning_the_same_where_it_divides() -> None:
    even = next(c for c in possible_changes(NANO, RunSpec(batch_size=6, accumulation_steps=2))
                if "batch_size" in c.run)  # fmt: skip
    assert even.run == {"batch_size": 3, "accumulation_steps": 4}
    odd = next(c for c in possible_changes(NANO, RunSpec(batch_size=7)) if "batch_size" in c.run)
    assert odd.run == {"batch_size": 3}
    assert "batch_size" not in {
        name for c in possible_changes(NANO, RunSpec(batch_size=1)) for name in c.run
    }


def test_where_the_vocabulary_fills_the_memory_a_loss_in_chunks_saves_most() -> None:
    spec = ModelSpec(vocab_size=100_000, num_layers=1, max_seq_len=256)
    assert remedies(spec, RunSpec(batch_size=16))[0].change.run == {"loss_chunk": 128}


def test_scores_written_out_need_not_be() -> None:
    spec, run = ModelSpec(max_seq_len=2_048), RunSpec(attention="materialised")
    assert "Fused attention" in words(spec, run)
    assert "Fused attention" not in words(spec, RunSpec())


def test_what_is_done_already_is_not_offered() -> None:
    run = RunSpec(batch_size=16, gradient_checkpointing=True, precision="bf16")
    assert "Gradient checkpointing" not in words(NANO, run)
    assert not any("bf16" in text for text in words(NANO, run))
    assert "Tied embeddings" not in words(NANO, RunSpec())
    assert "No dropout" not in words(NANO, RunSpec())


def test_dropout_on_the_cpu_is_named_where_it_fills_the_memory_with_scores() -> None:
    design = preset("nano-trickster")
    found = {remedy.change.words: remedy for remedy in remedies(design.model, design.run)}
    assert (
        found["No dropout"].saved_bytes > training_memory(design.model, design.run).peak_bytes / 2
    )


@given(st.data())
def test_every_remedy_lowers_the_peak_by_what_it_says_and_can_be_built(
    data: st.DataObject,
) -> None:
    spec = data.draw(model_specs())
    run = data.draw(run_specs(spec))
    now = training_memory(spec, run).peak_bytes
    found = remedies(spec, run)
    for remedy in found:
        other, lighter = changed(spec, run, remedy.change)
        assert not problems(other)
        assert not run_problems(lighter, other)
        peak = training_memory(other, lighter).peak_bytes
        assert peak == remedy.peak_bytes == now - remedy.saved_bytes < now
        assert remedy.change.price
    assert [r.peak_bytes for r in found] == sorted(r.peak_bytes for r in found)
    assert pytest.approx(0) != sum(r.saved_bytes for r in found) or not found
