from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.spec import ModelSpec, model_parameters, problems
from engine.steps import linked_changes, next_notch, position_of, useful_values
from tests.engine.strategies import model_specs

NANO = ModelSpec()
NAMES = tuple(model_parameters())


@given(model_specs(large=True), st.sampled_from(NAMES))
def test_useful_values_are_sorted_legal_and_hold_the_present_one(
    spec: ModelSpec, name: str
) -> None:
    values = useful_values(name, spec)
    assert getattr(spec, name) in values
    assert len(set(values)) == len(values)
    if model_parameters()[name].kind in ("integer", "number"):
        numbers = [value for value in values if isinstance(value, (int, float))]
        assert numbers == sorted(numbers)
        assert None not in values[1:]
    for value in values:
        assert model_parameters()[name].check(value) == value


@given(model_specs(), st.sampled_from(("hidden_dim", "num_heads", "num_kv_heads", "mlp_dim")))
def test_sizes_that_hang_together_step_through_valid_designs_only(
    spec: ModelSpec, name: str
) -> None:
    for value in useful_values(name, spec):
        changed = spec.replace(**linked_changes(spec, name, value))
        assert not problems(changed), (name, value)


@given(model_specs(large=True), st.sampled_from(NAMES))
def test_a_notch_up_and_down_stay_within_the_list(spec: ModelSpec, name: str) -> None:
    values = useful_values(name, spec)
    at = values.index(getattr(spec, name))
    assert next_notch(name, spec) == values[min(at + 1, len(values) - 1)]
    assert next_notch(name, spec, -1) == values[max(at - 1, 0)]


def test_hidden_sizes_divide_among_the_heads_and_into_tiles() -> None:
    for value in useful_values("hidden_dim", NANO.replace(num_heads=12, num_kv_heads=12)):
        assert isinstance(value, int)
        assert value == 256 or value % 96 == 0
    free = useful_values("hidden_dim", NANO.replace(head_dim=64))
    assert 288 in free


def test_the_notches_are_the_values_that_people_use() -> None:
    vocabularies = useful_values("vocab_size", NANO)
    assert {256, 32_000, 50_257, 128_256} <= set(vocabularies)
    assert next_notch("num_layers", NANO) == 7
    assert useful_values("qkv_bias", NANO) == (False, True)
    assert useful_values("norm", NANO) == ("rmsnorm", "layernorm")
    assert useful_values("head_dim", NANO)[0] is None
    assert useful_values("max_seq_len", NANO)[:3] == (32, 48, 64)


@pytest.mark.parametrize(
    ("kv_heads", "heads", "expected"), [(8, 16, 16), (2, 16, 2), (4, 6, 3), (8, 1, 1), (1, 16, 1)]
)
def test_key_value_heads_follow(kv_heads: int, heads: int, expected: int) -> None:
    changes = linked_changes(NANO.replace(num_kv_heads=kv_heads), "num_heads", heads)
    assert changes == {"num_heads": heads, "num_kv_heads": expected}


def test_nothing_else_moves_by_itself() -> None:
    assert linked_changes(NANO, "hidden_dim", 512) == {"hidden_dim": 512}


@pytest.mark.parametrize(
    ("value", "at"), [(0, 0), (10, 0), (15, 0), (16, 1), (20, 1), (24, 1), (26, 2), (1_000, 2)]
)
def test_the_nearest_position(value: float, at: int) -> None:
    assert position_of((10, 20, 30), value) == at
    assert position_of((None, 10, 20, 30), value) == at + 1
