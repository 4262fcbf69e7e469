"""What the other values of a row cost, in full."""

from __future__ import annotations

import pytest

from engine.cost.marginal import Change
from engine.cost.memory import training_memory
from engine.run_spec import RunSpec, run_parameters
from engine.spec import ModelSpec, model_parameters
from tests.gui.design.test_notch_costs import HERE
from trickster_gui.design.alternatives import COMPARED, alternatives, words
from trickster_gui.design.notch_costs import PRICED, Machine
from trickster_gui.document import Design

DESIGN = Design(ModelSpec(), RunSpec())


def test_a_slider_tells_a_notch_less_and_a_notch_more() -> None:
    less, more, basis = alternatives(DESIGN, "model", "num_layers", Machine())
    assert less.startswith("5: -852,480 parameters, -")
    assert more.startswith("7: +852,480 parameters, +")
    delta = (
        training_memory(ModelSpec(num_layers=7), RunSpec()).peak_bytes
        - training_memory(ModelSpec(), RunSpec()).peak_bytes
    )
    assert f"({delta:+,} bytes)" in more
    assert more.endswith("% arithmetic.")
    assert basis == "No speed is known here: arithmetic stands for time."


def test_the_end_of_a_slider_has_one_neighbour() -> None:
    design = Design(ModelSpec(num_layers=1), RunSpec())
    (more, _) = alternatives(design, "model", "num_layers", Machine())
    assert more.startswith("2: ")


def test_a_switch_tells_its_other_position() -> None:
    (untied,) = alternatives(DESIGN, "model", "tied_embeddings", Machine())
    assert untied.startswith("Off: +65,536 parameters, ")
    (again, _) = alternatives(DESIGN, "run", "gradient_checkpointing", Machine())
    assert again.startswith("On: -")


def test_a_choice_tells_each_of_the_others() -> None:
    said = alternatives(DESIGN, "model", "activation", Machine())
    assert [text.partition(":")[0] for text in said[:-1]] == ["ReLU", "GELU", "GeGLU (gated)"]
    assert said[0].startswith("ReLU: -1,179,648 parameters")
    assert said[-1].startswith("No speed is known here")
    optimizers = alternatives(DESIGN, "run", "optimizer", Machine())
    assert any(text.startswith("SGD: -") for text in optimizers)


def test_known_speed_gives_seconds_and_what_they_rest_on() -> None:
    (_, more, basis) = alternatives(DESIGN, "model", "num_layers", HERE)
    assert "% time (a step " in more
    assert " → " in more
    assert basis.startswith("Times on This CPU: ")
    (*_, longer, _) = alternatives(DESIGN, "run", "steps", HERE)
    assert "time (" in longer
    assert "a step" not in longer


def test_a_precision_that_was_not_measured_has_no_time() -> None:
    said = alternatives(DESIGN, "run", "precision", HERE)
    assert any("in a time that has not been measured" in text for text in said)


def test_what_costs_nothing_says_so() -> None:
    said = alternatives(DESIGN, "model", "norm_position", Machine())
    assert len(said) == 1, "no time changes, so nothing is said of what it rests on"
    assert words(Change(0, 0, 1.0, "arithmetic")) == "costs the same"
    assert words(Change(1, 0, 1.0, "arithmetic")) == "+1 parameter"


@pytest.mark.parametrize("name", sorted(PRICED | COMPARED))
def test_every_row_that_promises_an_answer_gives_one(name: str) -> None:
    part = "model" if name in model_parameters() else "run"
    assert name in {**model_parameters(), **run_parameters()}
    design = Design(ModelSpec(num_kv_heads=4, head_dim=32), RunSpec(seq_len=128))
    said = alternatives(design, part, name, HERE)  # type: ignore[arg-type]
    assert said
    assert all(text.endswith(".") for text in said)


def test_a_broken_design_and_other_rows_have_no_answer() -> None:
    broken = Design(ModelSpec(num_heads=7), RunSpec())
    assert alternatives(broken, "model", "num_layers", Machine()) == ()
    assert alternatives(DESIGN, "run", "learning_rate", Machine()) == ()
