"""The distribution that the next token is drawn from."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.models.sampling import BrokenModelError, Sampling, next_token_probabilities
from engine.parameter import SpecError

PROBABILITIES = (0.4, 0.3, 0.2, 0.1)
LOGITS = torch.tensor([math.log(p) + 5 for p in PROBABILITIES])


def probabilities(
    temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, penalty: float = 1.0,
    context: tuple[int, ...] = (), allowed: int = 4, logits: torch.Tensor = LOGITS,
) -> list[float]:  # fmt: skip
    sampling = Sampling(temperature, top_k, top_p, penalty)
    found: list[float] = next_token_probabilities(logits, sampling, context, allowed).tolist()
    return found


def test_temperature_1_is_the_models_own_distribution() -> None:
    assert probabilities() == pytest.approx(PROBABILITIES, rel=1e-5)


def test_temperature_raises_probabilities_to_its_inverse() -> None:
    for temperature in (0.25, 0.5, 2.0, 10.0):
        powers = [p ** (1 / temperature) for p in PROBABILITIES]
        expected = [power / sum(powers) for power in powers]
        assert probabilities(temperature) == pytest.approx(expected, rel=1e-4)


def test_a_tiny_temperature_is_certain_and_not_nan() -> None:
    assert probabilities(1e-300) == [1, 0, 0, 0]


def test_top_k_keeps_the_k_likeliest_in_proportion() -> None:
    assert probabilities(top_k=2) == pytest.approx([4 / 7, 3 / 7, 0, 0], rel=1e-5)
    assert probabilities(top_k=1) == [1, 0, 0, 0]
    assert probabilities(top_k=1000) == pytest.approx(PROBABILITIES, rel=1e-5)


def test_top_k_keeps_exactly_k_of_equals() -> None:
    equals = probabilities(top_k=2, logits=torch.zeros(4))
    assert sorted(equals) == [0, 0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("top_p", "kept"), [(1e-9, 1), (0.39, 1), (0.41, 2), (0.69, 2), (0.71, 3), (0.91, 4)]
)
def test_top_p_keeps_the_fewest_that_reach_p(top_p: float, kept: int) -> None:
    whole = sum(PROBABILITIES[:kept])
    expected = [p / whole for p in PROBABILITIES[:kept]] + [0.0] * (4 - kept)
    assert probabilities(top_p=top_p) == pytest.approx(expected, rel=1e-5)


def test_top_p_looks_at_what_top_k_left() -> None:
    assert probabilities(top_k=2, top_p=0.5) == pytest.approx([1, 0, 0, 0])


def test_the_penalty_divides_positive_scores_and_multiplies_negative_ones() -> None:
    logits = torch.tensor([2.0, -2.0, 1.0, 0.0])
    expected = torch.tensor([1.0, -4.0, 1.0, 0.0]).softmax(0).tolist()
    found = probabilities(penalty=2.0, context=(0, 1, 1, 3), logits=logits)
    assert found == pytest.approx(expected, rel=1e-6)


def test_ids_that_no_token_has_are_never_drawn() -> None:
    assert probabilities(allowed=2) == pytest.approx([4 / 7, 3 / 7, 0, 0], rel=1e-5)
    assert probabilities(allowed=1, temperature=0, logits=LOGITS.flip(0)) == [1, 0, 0, 0]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_an_error_that_says_what_to_do(broken: float) -> None:
    logits = LOGITS.clone()
    logits[1] = broken
    with pytest.raises(BrokenModelError, match="earlier checkpoint"):
        probabilities(logits=logits)


def test_scores_in_bf16_are_worked_on_in_full_precision() -> None:
    found = probabilities(logits=LOGITS.bfloat16())
    assert found == pytest.approx(LOGITS.bfloat16().double().softmax(0).tolist(), rel=1e-12)
    assert sum(found) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1), ("temperature", math.nan), ("temperature", math.inf),
        ("top_k", -1), ("top_p", 0.0), ("top_p", 1.01), ("top_p", math.nan),
        ("repetition_penalty", 0.0), ("repetition_penalty", math.inf),
    ],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(SpecError) as caught:
        Sampling(**{field: value})
    assert caught.value.field == field
    Sampling(**caught.value.fix)  # what is offered instead is fine


@given(
    logits=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=30),
    temperature=st.floats(0, 10),
    top_k=st.integers(0, 40),
    top_p=st.floats(0, 1, exclude_min=True),
    penalty=st.floats(0.1, 10),
    data=st.data(),
)
def test_it_is_always_a_distribution_over_allowed_tokens(
    logits: list[float], temperature: float, top_k: int, top_p: float, penalty: float,
    data: st.DataObject,
) -> None:  # fmt: skip
    allowed = data.draw(st.integers(1, len(logits)))
    context = data.draw(st.lists(st.integers(0, len(logits) - 1), max_size=5))
    found = next_token_probabilities(
        torch.tensor(logits), Sampling(temperature, top_k, top_p, penalty), context, allowed
    )
    assert found.sum().item() == pytest.approx(1)
    assert (found >= 0).all()
    assert (found[allowed:] == 0).all()
    if top_k and temperature:
        assert (found > 0).sum() <= top_k
