from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.parameter import Parameter, SpecError, declared, parameters_of, show


def parameter(kind: str, **more: object) -> Parameter:
    return Parameter("A thing", "Group", kind, "Help.", name="thing", **more)  # type: ignore[arg-type]


WHOLE = parameter("integer", minimum=1, maximum=2_000_000)
NUMBER = parameter("number", minimum=0.0, maximum=1.0)
WIDE = parameter("number")
FLAG = parameter("flag")
CHOICE = parameter("choice", choices={"a": "First", "b": "Second"})
TEXT = parameter("text")
TEXTS = parameter("texts")
OPTIONAL = parameter("integer", minimum=1, optional=True, none_label="whole context")


@pytest.mark.parametrize(
    ("declared_as", "text", "value"),
    [
        (WHOLE, "1,024", 1_024), (WHOLE, " 32k ", 32_000), (WHOLE, "1.5M", 1_500_000),
        (WHOLE, "1_000", 1_000), (WHOLE, "64.0", 64), (NUMBER, "1e-3", 0.001),
        (WIDE, "1,000", 1_000.0),
        (WIDE, "-12,345.5", -12_345.5), (WIDE, "1_000", 1_000.0), (WIDE, "1 000", 1_000.0),
        (WHOLE, "1,500k", 1_500_000), (WHOLE, "+1,000,000", 1_000_000), (FLAG, "Yes", True),
        (FLAG, "off", False), (CHOICE, " b ", "b"), (TEXT, " as it is ", " as it is "),
        (TEXTS, "a|b", ("a", "b")), (TEXTS, "", ()), (OPTIONAL, "auto", None), (OPTIONAL, "", None),
        (OPTIONAL, "whole context", None), (OPTIONAL, "7", 7),
    ],
)  # fmt: skip
def test_typed_text_is_read(declared_as: Parameter, text: str, value: object) -> None:
    assert declared_as.parse(text) == value


@pytest.mark.parametrize(
    ("declared_as", "text"),
    [
        (WHOLE, "x"), (WHOLE, ""), (WHOLE, "1.5"), (WHOLE, "nan"), (WHOLE, "inf"), (WHOLE, "1e999"),
        (WHOLE, "9" * 5_000), (WHOLE, "k"), (WHOLE, "0"), (NUMBER, "x"), (NUMBER, "inf"),
        (NUMBER, "2"), (FLAG, "perhaps"), (CHOICE, "c"), (TEXT, "x" * 5_000),
    ],
)  # fmt: skip
def test_text_that_cannot_be_read_is_a_spec_error_at_its_field(
    declared_as: Parameter, text: str
) -> None:
    with pytest.raises(SpecError) as caught:
        declared_as.parse(text)
    assert caught.value.field == "thing"
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("declared_as", "text", "message"),
    [
        (WHOLE, "9" * 26, "must be at most 2,000,000"),
        (WHOLE, "9" * 5_000, "must be at most 2,000,000"),
        (WHOLE, "9" * 5_000 + "k", "must be at most 2,000,000"),
        (WHOLE, "-" + "9" * 26, "must be at least 1"), (WHOLE, "1e400", "must be at most"),
        (WHOLE, "1e308k", "must be at most"), (NUMBER, "1e400", "must be at most 1"),
        (NUMBER, "-1e400", "must be at least 0"), (NUMBER, "9" * 500, "must be at most 1"),
        (WIDE, "1e400", "is too large"), (WHOLE, "--5", "is not a whole number"),
        (WHOLE, "", "type a number"), (WHOLE, " ", "type a number"), (NUMBER, "", "type a number"),
        (NUMBER, "1,5", "decimals take a point"), (NUMBER, "0,001", "decimals take a point"),
        (WHOLE, "1,5", "only separates thousands"), (NUMBER, "inf", "not a finite number"),
        (NUMBER, "nan", "not a finite number"), (WHOLE, "inf", "not a whole number"),
    ],
)  # fmt: skip
def test_the_message_says_what_is_wrong_with_a_typed_number(
    declared_as: Parameter, text: str, message: str
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        declared_as.parse(text)
    assert len(str(caught.value)) < 200


def test_a_whole_number_that_no_float_holds_is_too_large() -> None:
    with pytest.raises(SpecError, match="too large"):
        WIDE.check(10**400)


@pytest.mark.parametrize(
    ("declared_as", "value"),
    [
        (WHOLE, True), (WHOLE, 1.5), (WHOLE, "1"), (WHOLE, None), (NUMBER, True), (NUMBER, "1"),
        (NUMBER, float("nan")), (FLAG, 1), (CHOICE, 1), (CHOICE, ["a"]), (TEXT, 1), (TEXTS, "a"),
        (TEXTS, [1]), (TEXTS, ["a"] * 65),
    ],
)  # fmt: skip
def test_values_of_the_wrong_kind_are_refused(declared_as: Parameter, value: object) -> None:
    with pytest.raises(SpecError):
        declared_as.check(value)  # type: ignore[arg-type]


def test_values_come_back_with_their_exact_type() -> None:
    assert type(WHOLE.check(64.0)) is int
    assert type(NUMBER.check(1)) is float
    assert TEXTS.check(["a", "b"]) == ("a", "b")  # type: ignore[arg-type]
    assert FLAG.check(False) is False
    assert OPTIONAL.check(None) is None


def test_out_of_range_offers_the_nearest_legal_value() -> None:
    for value, nearest in ((0, 1), (-5, 1), (3_000_000, 2_000_000)):
        with pytest.raises(SpecError) as caught:
            WHOLE.check(value)
        assert caught.value.fix == {"thing": nearest}
    with pytest.raises(SpecError) as caught:
        NUMBER.check(1.5)
    assert caught.value.fix == {"thing": 1.0}
    assert "A thing must be at most 1, not 1.5 (fix: thing = 1)" in str(caught.value)


def test_a_wrong_choice_offers_one() -> None:
    with pytest.raises(SpecError) as caught:
        CHOICE.check("c")
    assert caught.value.fix == {"thing": "a"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "automatic"), (True, "yes"), (False, "no"), (1_024, "1,024"), (0.5, "0.5"),
     (("a", "b"), "a | b"), ("x" * 100, "x" * 57 + "…"), (10**30, "a number with too many digits")],
)  # fmt: skip
def test_values_as_people_read_them(value: object, text: str) -> None:
    assert show(value) == text


def test_an_error_without_a_fix_says_only_what_is_wrong() -> None:
    error = SpecError("field", "is wrong")
    assert (str(error), error.fix_text()) == ("field: is wrong", "")


def test_declarations_are_collected_by_name() -> None:
    @dataclass(frozen=True)
    class Toy:
        first: int = declared(3, parameter("integer"))
        plain: int = 0

    assert list(parameters_of(Toy)) == ["first"]
    assert parameters_of(Toy)["first"].name == "first"
    assert Toy().first == 3


@given(st.text(max_size=50))
def test_no_text_whatever_ends_otherwise(text: str) -> None:
    for declared_as in (WHOLE, NUMBER, FLAG, CHOICE, TEXT, TEXTS, OPTIONAL):
        try:
            value = declared_as.parse(text)
        except SpecError:
            continue
        assert declared_as.check(value) == value


@given(st.integers(1, 2_000_000))
def test_whole_numbers_survive_showing(value: int) -> None:
    assert WHOLE.parse(show(value)) == value
