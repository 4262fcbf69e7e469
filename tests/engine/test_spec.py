from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.parameter import SpecError
from engine.spec import (
    GROUPS,
    ModelSpec,
    check,
    divisors,
    model_parameters,
    problems,
    spec_from_dict,
    spec_to_dict,
)
from tests.engine.strategies import model_specs

NANO = ModelSpec()


def test_the_defaults_are_a_valid_design_with_every_parameter_declared() -> None:
    assert check(NANO) is NANO
    assert set(model_parameters()) == set(spec_to_dict(NANO))
    for parameter in model_parameters().values():
        assert parameter.group in GROUPS
        assert parameter.help.endswith(".")


def test_seven_heads_are_the_lessons_error_with_its_fix() -> None:
    (problem,) = problems(NANO.replace(num_heads=7, num_kv_heads=7))
    assert (problem.field, problem.message) == (
        "num_heads", "256 is not divisible by 7 heads",
    )  # fmt: skip
    assert problem.fix == {"num_heads": 8, "num_kv_heads": 8}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"num_heads": 7, "num_kv_heads": 1}, "num_heads"),
        ({"num_heads": 7, "num_kv_heads": 3}, "num_heads"),
        ({"num_kv_heads": 3}, "num_kv_heads"),
        ({"num_kv_heads": 16}, "num_kv_heads"),
        ({"head_dim": 33}, "head_dim"),
        ({"hidden_dim": 8, "num_heads": 8}, "hidden_dim"),
        ({"hidden_dim": 255, "num_heads": 5, "num_kv_heads": 5}, "hidden_dim"),
        ({"hidden_dim": 255, "num_heads": 5, "num_kv_heads": 5, "position": "sinusoidal"},
         "hidden_dim"),
        ({"hidden_dim": 255, "head_dim": 5, "position": "sinusoidal"}, "hidden_dim"),
        ({"hidden_dim": 255, "num_heads": 8, "position": "none"}, "num_heads"),
        ({"rope_scaling": "yarn", "rope_original_seq_len": 1_024}, "rope_original_seq_len"),
        ({"rope_scaling": "llama3", "rope_original_seq_len": 513}, "rope_original_seq_len"),
        ({"hidden_dim": 65_535, "num_heads": 1, "num_kv_heads": 1}, "hidden_dim"),
        ({"hidden_dim": 65_535, "num_heads": 17, "num_kv_heads": 17, "position": "sinusoidal"},
         "position"),
        ({"hidden_dim": 0}, "hidden_dim"),
        ({"dropout": 1.0}, "dropout"),
        ({"position": "magic"}, "position"),
        ({"qkv_bias": 1}, "qkv_bias"),
    ],
)  # fmt: skip
def test_each_problem_is_at_its_field_and_its_fix_removes_it(
    change: dict[str, object], field: str
) -> None:
    spec = NANO.replace(**change)  # type: ignore[arg-type]
    with pytest.raises(SpecError) as caught:
        check(spec)
    assert caught.value.field == field
    for _ in range(4):
        found = problems(spec)
        if not found:
            return
        if not found[0].fix:  # a flag with a value of the wrong kind: nothing single is right
            assert field == "qkv_bias"
            return
        spec = spec.replace(**found[0].fix)
    raise AssertionError(f"still {problems(spec)}")


def test_what_says_nothing_about_a_design_is_no_problem() -> None:
    assert not problems(NANO.replace(head_dim=33, position="none"))
    assert not problems(NANO.replace(rope_original_seq_len=1_024))
    assert not problems(NANO.replace(rope_scaling="linear", rope_original_seq_len=1_024))


def test_derived_values() -> None:
    assert NANO.head_size == 32
    assert NANO.replace(head_dim=48).head_size == 48
    assert (NANO.gated, NANO.replace(activation="relu").gated) == (True, False)
    assert NANO.original_seq_len == 64
    assert NANO.replace(rope_original_seq_len=100).original_seq_len == 100
    assert NANO.replace(max_seq_len=1, rope_factor=1_024.0).original_seq_len == 1


def test_from_plain_values() -> None:
    assert spec_from_dict({}) == NANO
    assert spec_from_dict({"num_heads": 4}).num_kv_heads == 4
    assert spec_from_dict({"num_heads": 4, "num_kv_heads": 2}).num_kv_heads == 2
    with pytest.raises(SpecError, match="not a parameter"):
        spec_from_dict({"n_heads": 4})
    with pytest.raises(SpecError, match="not a whole number"):
        spec_from_dict({"num_heads": "4"})


@given(model_specs(large=True))
def test_designs_survive_json(spec: ModelSpec) -> None:
    assert spec_from_dict(json.loads(json.dumps(spec_to_dict(spec)))) == spec


@given(st.integers(1, 100_000))
def test_divisors(number: int) -> None:
    found = divisors(number)
    assert found == tuple(sorted(set(found)))
    assert all(number % divisor == 0 for divisor in found)
    assert {number // divisor for divisor in found} == set(found)
    assert (found[0], found[-1]) == (1, number)


@given(
    st.integers(1, 5_000), st.integers(1, 80), st.integers(1, 80), st.none() | st.integers(1, 99),
    st.sampled_from(("rope", "sinusoidal", "none")),
)  # fmt: skip
def test_following_the_fixes_always_ends_in_a_valid_design(
    width: int, heads: int, kv_heads: int, head_dim: int | None, position: str
) -> None:
    spec = ModelSpec(hidden_dim=width, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
                     position=position)  # fmt: skip
    for _ in range(6):
        found = problems(spec)
        if not found:
            return
        spec = spec.replace(**found[0].fix)
    raise AssertionError(f"fixes go in circles: {spec}")
