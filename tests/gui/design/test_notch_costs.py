"""The words beside a slider, against the exact difference."""

from __future__ import annotations

from engine.cost.memory import training_memory
from engine.cost.parameters import count
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.words import binary_bytes, short_count
from trickster_gui.design.notch_costs import notch_costs
from trickster_gui.document import Design

DESIGN = Design(ModelSpec(), RunSpec())


def test_one_layer_more_says_exactly_what_it_adds() -> None:
    more = ModelSpec(num_layers=7)
    params = count(more).total - count(ModelSpec()).total
    memory = (
        training_memory(more, RunSpec()).peak_bytes
        - training_memory(ModelSpec(), RunSpec()).peak_bytes
    )
    words = notch_costs(DESIGN, [("model", "num_layers")])["model", "num_layers"]
    assert words == (
        f"+1 layer: {short_count(params, signed=True)} params, {binary_bytes(memory, signed=True)}"
    )


def test_a_larger_batch_costs_memory_only() -> None:
    words = notch_costs(DESIGN, [("run", "batch_size")])["run", "batch_size"]
    delta = (
        training_memory(ModelSpec(), RunSpec(batch_size=16)).peak_bytes
        - training_memory(ModelSpec(), RunSpec()).peak_bytes
    )
    assert words == f"+4: {binary_bytes(delta, signed=True)}"


def test_a_context_longer_than_the_runs_sequences_costs_this_run_nothing() -> None:
    design = Design(ModelSpec(), RunSpec(seq_len=256))
    words = notch_costs(design, [("model", "max_seq_len")])["model", "max_seq_len"]
    assert words == "+256: nothing in this run"


def test_what_costs_nothing_or_cannot_be_built_says_nothing() -> None:
    assert notch_costs(DESIGN, [("run", "learning_rate"), ("model", "norm_eps")]) == {}
    broken = Design(ModelSpec(num_heads=7), RunSpec())
    assert notch_costs(broken, [("model", "num_layers"), ("run", "batch_size")]) == {}
