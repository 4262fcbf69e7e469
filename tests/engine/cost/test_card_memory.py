"""What a card's memory is said to hold, against a count of every single operation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.card_graph.constants import PRECISIONS
from engine.card_graph.decoder import Decoder
from engine.card_graph.layout import placements
from engine.card_graph.ops import Ops
from engine.card_graph.shape_kernels import NO_ARRAY, Blank, ShapeKernels
from engine.cost.card_memory import banks_of, card_course, card_peak, largest_card_batch
from engine.cost.memory import memory_of_batch, peak_of_batch, training_memory
from engine.cost.tape import KINDS, SAMPLING, VALIDATION
from engine.parameter import Value
from engine.presets import preset
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.backends.tenstorrent.designs import card_specs, small
from tests.engine.card_graph.counting import graph_peak_memory

RUN = RunSpec(precision="bf16-mixed", device="n150")
# So short that a sample is never longer than what is learned from.
BRIEF: dict[str, Value] = {"sample_tokens": 1, "prompts": ("a",)}


@st.composite
def card_runs(draw: st.DrawFn, spec: ModelSpec) -> RunSpec:
    """Any run on a card that the backend takes, with brief samples."""
    return RunSpec(
        device=draw(st.sampled_from(("n150", "p100", "p150:1", "galaxy"))),
        batch_size=draw(st.integers(1, 9)),
        seq_len=draw(st.none() | st.integers(1, spec.max_seq_len)),
        accumulation_steps=draw(st.integers(1, 3)),
        precision=draw(st.sampled_from(("bf16-mixed", "bf16", "fp32"))),
        optimizer=draw(st.sampled_from(("adamw", "sgd-momentum", "sgd"))),
        grad_clip=draw(st.sampled_from((0.0, 1.0))),
        weight_decay=draw(st.sampled_from((0.0, 0.1))),
        gradient_checkpointing=draw(st.booleans()),
        sample_tokens=1,
        prompts=("a",),
    )


@settings(deadline=None, max_examples=150)
@given(spec=card_specs(), layers=st.integers(1, 7), wide=st.booleans(), data=st.data())
def test_it_is_what_the_operations_take_one_by_one(
    spec: ModelSpec, layers: int, wide: bool, data: st.DataObject
) -> None:
    spec = spec.replace(num_layers=layers)
    if wide:
        spec = spec.replace(vocab_size=30_001, mlp_dim=5_000, hidden_dim=64 * 32, max_seq_len=300)
    run = data.draw(card_runs(spec))
    expected = graph_peak_memory(spec, run, banks_of(run.device)).peak_bytes
    assert card_peak(spec, run, run.batch_size) == expected
    memory = training_memory(spec, run)
    assert memory.peak_bytes == expected == sum(memory.at_peak.values())
    assert card_course(spec, run).at_peak(run.batch_size).bytes == expected


@pytest.mark.parametrize("name", ["nano-trickster", "gpt2", "llama-3-8b"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_presets_too(name: str, checkpointing: bool) -> None:
    design = preset(name)
    run = design.run.replace(device="n150", precision="bf16-mixed", **BRIEF)
    run = run.replace(gradient_checkpointing=checkpointing)
    expected = graph_peak_memory(design.model, run, 12).peak_bytes
    assert peak_of_batch(design.model, run, run.batch_size) == expected
    for batch in (1, run.batch_size):
        at_peak = card_course(design.model, run).at_peak(batch)
        assert at_peak.bytes == sum(at_peak.kinds.values()) == card_peak(design.model, run, batch)


@settings(deadline=None, max_examples=40)
@given(spec=card_specs(), data=st.data())
def test_each_phase_is_made_of_kinds_and_weights_stay(spec: ModelSpec, data: st.DataObject) -> None:
    run = data.draw(card_runs(spec))
    memory = training_memory(spec, run)
    for phase in memory.phases:
        assert tuple(phase.kinds) == KINDS
        assert sum(phase.kinds.values()) == phase.bytes
        assert min(phase.kinds.values()) >= 0
        assert phase.kinds["weights"] >= memory.weights_bytes
    assert memory.at_peak["gradients"] <= 2 * memory.gradients_bytes
    resident = graph_peak_memory(spec, run, banks_of(run.device)).resident_bytes
    assert memory.weights_bytes + memory.optimizer_bytes <= resident


def reading_peak(spec: ModelSpec, run: RunSpec, rows: int, length: int, sample: bool) -> int:
    """A pass without gradients, operation by operation; the optimizer's state left out."""
    ops = Ops(ShapeKernels(), banks_of(run.device))
    weights = dict.fromkeys(placements(spec), NO_ARRAY)
    decoder = Decoder(spec, ops, PRECISIONS[run.precision], weights)
    decoder.prepare(length)
    ops.ledger.watch()
    ids: Any = Blank((rows, length))
    result = decoder.next_scores(ids, 1) if sample else decoder.loss(ids, ids)
    ops.free(result)
    return ops.ledger.peak_bytes


@settings(deadline=None, max_examples=40)
@given(spec=card_specs(), data=st.data())
def test_validation_and_samples_too(spec: ModelSpec, data: st.DataObject) -> None:
    run = data.draw(card_runs(spec)).replace(sample_tokens=data.draw(st.integers(1, 80)))
    memory = training_memory(spec, run)
    phases = {phase.name: phase.bytes - memory.optimizer_bytes for phase in memory.phases}
    length = run.sequence_length(spec)
    assert phases[VALIDATION] == reading_peak(spec, run, run.batch_size, length, sample=False)
    text = max(length, min(spec.max_seq_len, 1 + run.sample_tokens))
    assert phases[SAMPLING] == reading_peak(spec, run, 1, text, sample=True)
    assert memory.peak_bytes == peak_of_batch(spec, run, run.batch_size)


def test_a_sample_longer_than_what_is_learned_from_can_be_the_fullest() -> None:
    spec = small(num_heads=4, num_kv_heads=4, max_seq_len=2_048)
    run = RUN.replace(batch_size=1, seq_len=32, prompts=("a" * 2_000,))
    memory = training_memory(spec, run)
    assert memory.peak_phase == SAMPLING
    assert memory.peak_bytes == card_peak(spec, run, 1) == sum(memory.at_peak.values())
    fullest = card_course(spec, run).at_peak(1)
    assert fullest.bytes == sum(fullest.kinds.values()) == memory.peak_bytes
    assert fullest.kinds == memory.at_peak
    assert memory.peak_bytes > card_peak(spec, run.replace(**BRIEF), 1)


@settings(deadline=None, max_examples=60)
@given(spec=card_specs(), room=st.integers(10**5, 10**8), data=st.data())
def test_the_largest_batch_is_the_largest(spec: ModelSpec, room: int, data: st.DataObject) -> None:
    run = data.draw(card_runs(spec))
    batch = largest_card_batch(spec, run, room, 4_096)
    if batch:
        assert card_peak(spec, run, batch) <= room
    if batch < 4_096:
        assert card_peak(spec, run, batch + 1) > room


def test_what_cards_lack_is_counted_all_the_same() -> None:
    """It is refused before a run; until then a person sees what such a run would take."""
    spec = small()
    odd = spec.replace(hidden_dim=48, num_heads=2, num_kv_heads=2)
    assert card_peak(odd, RUN, 4) > card_peak(odd.replace(hidden_dim=32), RUN, 4)
    lion = RUN.replace(optimizer="adafactor")
    assert card_peak(spec, lion, 4) == card_peak(spec, RUN, 4)


def test_only_what_matters_is_worked_out_again() -> None:
    spec = small()
    course = card_course(spec, RUN)
    assert card_course(spec, RUN.replace(learning_rate=1e-5, steps=7, device="n300")) is course
    assert card_course(spec, RUN.replace(device="p150")) is not course
    assert card_course(small(mlp_dim=41), RUN) is not course


def test_by_tt_train_it_is_that_estimate() -> None:
    run = RUN.replace(card_backend="tt-train")
    memory = memory_of_batch(small(), run, 4)
    assert memory.peak_bytes == peak_of_batch(small(), run, 4) != card_peak(small(), RUN, 4)
    assert memory.peak_phase == "backward of the last block"
    for phase in memory.phases:
        assert sum(phase.kinds.values()) == phase.bytes


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("wide", [{}, {"vocab_size": 20_000}, {"mlp_dim": 4_096}])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16", "fp32"])
@pytest.mark.parametrize("tied", [False, True])
def test_small_batches_are_fullest_while_weights_are_looked_up_or_updated(
    layers: int, wide: dict[str, Value], optimizer: str, precision: str, tied: bool
) -> None:
    spec = small(num_layers=layers, max_seq_len=32, tied_embeddings=tied).replace(**wide)
    run = RUN.replace(batch_size=1, optimizer=optimizer, precision=precision, **BRIEF)
    at_peak = card_course(spec, run).at_peak(1)
    expected = graph_peak_memory(spec, run, 12).peak_bytes
    assert at_peak.bytes == sum(at_peak.kinds.values()) == expected
    assert min(at_peak.kinds.values()) >= 0
    for phase in training_memory(spec, run).phases:
        assert sum(phase.kinds.values()) == phase.bytes <= expected
