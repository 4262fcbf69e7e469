"""tt-smi's snapshot: all values are texts, all are optional, and the tool itself may misbehave."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.devices import tenstorrent_smi
from engine.devices.tenstorrent_smi import parse_snapshot, smi_readings
from tests.engine.devices.recorded import chip, on_path, program, smi_printing, snapshot


def test_what_a_snapshot_tells() -> None:
    (reading,), problem = parse_snapshot(snapshot(chip("n300 L", "01000186", 0x41)))
    assert problem == ""
    assert reading.sources == ("tt-smi",)
    assert (reading.bus_id, reading.card_type) == ("0000:41:00.0", "n300 L")
    assert (reading.serial, reading.firmware) == ("01000186", "18.7.0.0")
    assert (reading.clock_mhz, reading.temperature_c, reading.power_w) == (500, 41.2, 13.0)
    assert reading.number is None


def test_lines_around_the_json_are_passed_over() -> None:
    text = "Gathering Information ━━━ 100%\n" + snapshot(chip("n150", "1", 1)) + "\nGoodbye\n"
    readings, problem = parse_snapshot(text)
    assert (len(readings), problem) == (1, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "gave no JSON"),
        ("No Tenstorrent devices detected", "gave no JSON"),
        ("{ torn", "cannot be read"),
        ('{"device_info": ' + "[" * 100_000, "cannot be read"),
        ("{}", "without device_info"),
        ('{"device_info": {"0": {}}}', "without device_info"),
        ('{"device_info": [1, null, "x"]}', "lists 3 devices that cannot be read"),
    ],
)
def test_answers_that_cannot_be_used(text: str, problem: str) -> None:
    readings, said = parse_snapshot(text)
    assert readings == ()
    assert problem in said


def test_values_of_the_wrong_type_are_not_told() -> None:
    text = json.dumps({"device_info": [
        {"board_info": {"bus_id": 7, "board_type": ["n150"], "board_id": None},
         "telemetry": "hot", "firmwares": None},
        {"board_info": {"board_type": "p150b"}, "telemetry": {"power": {}, "aiclk": "NaN"}},
    ]})  # fmt: skip
    (first, second), _ = parse_snapshot(text)
    assert (first.bus_id, first.card_type, first.serial, first.power_w) == ("", "", "", None)
    assert (second.card_type, second.power_w, second.clock_mhz) == ("p150b", None, None)


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(("device_info", "board_info", "telemetry", "board_type", "bus_id")), inner
    ),
))  # fmt: skip
def test_no_json_raises(document: object) -> None:
    parse_snapshot(json.dumps({"device_info": [document, {"board_info": document}]}))
    parse_snapshot(json.dumps(document))


def test_without_the_tool_there_is_nothing_to_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert smi_readings() == ((), "")


def test_the_tool_on_the_path_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi_printing(tmp_path, snapshot(chip("p150a", "b", 1)))
    on_path(monkeypatch.setenv, tmp_path)
    readings, problem = smi_readings()
    assert ([reading.card_type for reading in readings], problem) == (["p150a"], "")


def test_a_tool_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path, "tt-smi", "sleep 60")
    on_path(monkeypatch.setenv, tmp_path)
    monkeypatch.setattr(tenstorrent_smi, "TIMEOUT_S", 0.3)
    began = time.monotonic()
    assert smi_readings() == ((), "tt-smi did not answer within 0.3 s")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'No devices' >&2; exit 1", "tt-smi ended with status 1: No devices"),
        ("yes x", "tt-smi printed more than 4096 KiB"),
        ("head -c 100000 /dev/urandom", "tt-smi gave"),
        ("kill -ABRT $$", "tt-smi was ended by signal 6"),
    ],
)
def test_a_tool_that_fails_says_how(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, problem: str
) -> None:
    program(tmp_path, "tt-smi", script)
    on_path(monkeypatch.setenv, tmp_path)
    readings, said = smi_readings()
    assert readings == ()
    assert said.startswith(problem)
