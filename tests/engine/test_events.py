"""Events as lines: what is written is read back, and nothing that is read can do harm."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import events
from engine.events import (
    MAX_LINE_BYTES,
    Failed,
    Finished,
    Paused,
    Preparing,
    Resumed,
    Sample,
    Saved,
    Started,
    Step,
    Unknown,
    Validation,
    Warned,
    parse_line,
    to_line,
)

KINDS = (Preparing, Started, Step, Validation, Sample, Saved, Paused, Resumed, Warned, Finished,
         Failed)  # fmt: skip
numbers = st.floats(allow_nan=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
counts = st.integers(0, 1 << 60)


def values_of(declared: str) -> st.SearchStrategy[Any]:
    plain = declared.replace(" | None", "")
    found: st.SearchStrategy[Any]
    if plain.startswith("Mapping"):
        found = st.dictionaries(texts, numbers, max_size=4)
    elif plain.startswith("Literal"):
        found = st.sampled_from(["completed", "stopped", "early-stopping"])
    else:
        found = {"int": counts, "float": numbers, "bool": st.booleans(), "str": texts}[plain]
    return st.none() | found if "None" in declared else found


@st.composite
def any_event(draw: st.DrawFn) -> events.Event:
    kind = draw(st.sampled_from(KINDS))
    values = {f.name: draw(values_of(str(f.type))) for f in fields(kind) if f.name != "time"}
    return kind(**values, time=draw(st.floats(1, 1e10)))  # type: ignore[arg-type,return-value]


@given(any_event())
def test_every_event_comes_back_from_its_one_line(event: events.Event) -> None:
    line = to_line(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert parse_line(line) == event
    assert parse_line(line.decode()) == event


@given(any_event(), st.data())
def test_a_torn_line_is_no_event(event: events.Event, data: st.DataObject) -> None:
    line = to_line(event).rstrip(b"\n")
    assert parse_line(line[: data.draw(st.integers(0, len(line) - 1))]) is None


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_junk_is_never_an_error(junk: bytes | str) -> None:
    parse_line(junk)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(st.sampled_from(KINDS), st.data())
def test_wrong_values_make_no_event_and_no_error(kind: Any, data: st.DataObject) -> None:
    values = {f.name: data.draw(json_values) for f in fields(kind)}
    event = parse_line(json.dumps({"event": kind.name, **values}))
    if event is not None:
        assert parse_line(to_line(event)) is not None


@pytest.mark.parametrize("loss", [math.inf, -math.inf])
def test_infinite_numbers_are_strict_json(loss: float) -> None:
    line = to_line(Validation(1, 2, loss, 3, best=False, time=1.0))
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert parse_line(line) == Validation(1, 2, loss, 3, best=False, time=1.0)


def test_no_number_is_read_back_as_no_number() -> None:
    event = parse_line(to_line(Validation(1, 2, math.nan, 3, best=False)))
    assert isinstance(event, Validation)
    assert math.isnan(event.loss)


def test_time_is_now_where_none_is_given() -> None:
    event = parse_line(to_line(Paused(3)))
    assert isinstance(event, Paused)
    assert event.time > 1.7e9


def test_events_of_a_newer_program_are_kept() -> None:
    event = parse_line('{"event": "tuned", "time": 5, "rate": 0.5}')
    assert event == Unknown("tuned", {"rate": 0.5}, 5.0)
    assert parse_line(to_line(event)) == event


@pytest.mark.parametrize("time", [10**400, "soon", None, [], True])
def test_an_unknown_event_with_a_strange_time_is_kept_without_one(time: object) -> None:
    assert parse_line(json.dumps({"event": "tuned", "time": time})) == Unknown("tuned")


def test_new_fields_of_known_events_are_passed_over_and_missing_ones_refused() -> None:
    assert parse_line('{"event": "paused", "step": 3, "time": 1, "why": "x"}') == Paused(3, 1.0)
    assert parse_line('{"event": "paused", "time": 1}') is None


def test_a_line_without_end_is_not_even_parsed() -> None:
    assert parse_line(b'{"event": "paused", "step": 1, "pad": "' + b"x" * MAX_LINE_BYTES) is None


def test_deep_nesting_is_no_error() -> None:
    assert parse_line("[" * 100_000) is None


def test_half_a_surrogate_pair_can_be_written() -> None:
    event = parse_line(to_line(Warned("\udce9t\u00e9", time=1.0)))
    assert event == Warned("?t\u00e9", time=1.0)
