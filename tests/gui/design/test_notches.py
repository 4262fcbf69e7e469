"""Useful values of the run settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.run_spec import RunSpec, run_parameters
from engine.spec import ModelSpec
from trickster_gui.design.notches import run_values

NUMBERS = [
    name
    for name, parameter in run_parameters().items()
    if parameter.kind in ("integer", "number") and name != "seed"
]


@pytest.mark.parametrize("name", NUMBERS)
def test_values_are_legal_sorted_and_hold_the_present_one(name: str) -> None:
    parameter = run_parameters()[name]
    values = run_values(name, RunSpec(), ModelSpec())
    numbers = [value for value in values if value is not None]
    assert numbers == sorted(set(numbers))  # type: ignore[type-var]
    assert getattr(RunSpec(), name) in values
    assert (None in values) == parameter.optional
    for value in values:
        assert parameter.check(value) == value
    assert 5 <= len(values) <= 60


@given(st.integers(1, 10_000))
def test_a_value_between_the_notches_becomes_one(batch: int) -> None:
    assert batch in run_values("batch_size", RunSpec(batch_size=batch), ModelSpec())


def test_sequences_never_exceed_the_context() -> None:
    values = run_values("seq_len", RunSpec(), ModelSpec(max_seq_len=100))
    assert [value for value in values if value is not None][-1] == 100
