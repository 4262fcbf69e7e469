from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cost.marginal import marginal
from engine.cost.memory import training_memory
from engine.cost.parameters import count
from engine.run_spec import RunSpec
from engine.spec import ModelSpec, model_parameters, problems
from engine.steps import linked_changes
from tests.engine.strategies import model_specs, run_specs

NANO, RUN = ModelSpec(), RunSpec(batch_size=16)


def test_one_more_layer_is_one_more_block() -> None:
    more = marginal(NANO, RUN, "num_layers")
    assert more is not None
    assert (more.next_value, more.params_delta) == (7, 852_480)
    assert more.memory_delta_bytes > 16 * 852_480
    assert 1.16 < more.flops_ratio < 1.17


def test_one_layer_fewer() -> None:
    less = marginal(NANO, RUN, "num_layers", -1)
    assert less is not None
    assert (less.next_value, less.params_delta) == (5, -852_480)


def test_key_value_heads_follow_the_heads() -> None:
    more = marginal(NANO, RUN, "num_heads")
    assert more is not None
    assert (more.next_value, more.params_delta) == (16, 0)


def test_nothing_at_the_end_of_a_slider() -> None:
    assert marginal(NANO, RUN, "num_kv_heads") is None


def test_nothing_for_a_design_that_is_broken_already() -> None:
    assert marginal(NANO.replace(num_heads=7, num_kv_heads=7), RUN, "num_layers") is None


def test_nothing_where_the_run_would_not_fit_the_context() -> None:
    assert marginal(NANO, RUN.replace(seq_len=512), "max_seq_len", -1) is None
    assert marginal(NANO, RUN.replace(seq_len=1_024), "max_seq_len") is None


@pytest.mark.parametrize("name", list(model_parameters()))
def test_every_parameter_can_be_asked(name: str) -> None:
    marginal(NANO, RUN, name)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_differences_are_those_of_the_two_designs(data: st.DataObject) -> None:
    spec = data.draw(model_specs())
    run = data.draw(run_specs(spec))
    name = data.draw(st.sampled_from(("num_layers", "mlp_dim", "vocab_size", "hidden_dim")))
    more = marginal(spec, run, name)
    if more is None:
        return
    changed = spec.replace(**linked_changes(spec, name, more.next_value))
    assert not problems(changed)
    assert more.params_delta == count(changed).total - count(spec).total
    assert more.memory_delta_bytes == (
        training_memory(changed, run).peak_bytes - training_memory(spec, run).peak_bytes
    )
