from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from engine.cost.calibration import (
    Calibration,
    CalibrationError,
    MeasuredStep,
    RunSpeed,
    Speed,
    calibration_path,
    load_calibration,
    machine,
    save,
    to_dict,
)
from engine.cost.step_work import step_work
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.computers import prices

STEP = MeasuredStep(step_work(ModelSpec(), RunSpec()), 0.25)
SPEEDS = (
    Speed("fp32", 2, prices(operations=1e-5), 0.04, (STEP, replace(STEP, seconds=0.5))),
    Speed("fp32", 1, prices(operations=2e-5)),
    Speed("bf16-mixed", 2, prices(operations=3e-5)),
)
RUNS = (RunSpeed("fp32", 2, STEP), RunSpeed("fp32", 1, replace(STEP, seconds=0.75)))
CALIBRATION = Calibration(SPEEDS, machine(), "cpu", 1.5, RUNS)


def test_nothing_measured_is_none() -> None:
    assert load_calibration() is None


def test_what_is_saved_is_loaded() -> None:
    assert save(CALIBRATION) == calibration_path("cpu")
    assert load_calibration() == CALIBRATION
    assert load_calibration("cuda:0") is None
    assert [path.name for path in calibration_path().parent.iterdir()] == ["calibration-cpu.json"]


def test_prices_are_those_of_the_precision_and_the_nearest_threads() -> None:
    assert CALIBRATION.speed("fp32", 1) is SPEEDS[1]
    assert CALIBRATION.speed("fp32", 8) is SPEEDS[0]
    assert CALIBRATION.speed("fp32", None) is SPEEDS[0]
    assert CALIBRATION.speed("bf16", None) is None


def test_threads_mean_nothing_on_a_gpu() -> None:
    gpu = Calibration((Speed("fp32", 0, prices()),), {}, "cuda:0")
    assert gpu.speed("fp32", 8) is gpu.speeds[0]


def test_runs_are_found_by_precision_and_exact_threads() -> None:
    assert CALIBRATION.runs_like("fp32", 2) == (STEP,)
    assert CALIBRATION.runs_like("fp32", 3) == ()
    assert CALIBRATION.runs_like("bf16", 2) == ()


def test_the_largest_measured_step_is_known() -> None:
    assert SPEEDS[0].largest_s == 0.5
    assert SPEEDS[1].largest_s == 0


@pytest.mark.parametrize("format_name", ["trickster-calibration/1", "trickster-calibration/3"])
def test_a_file_of_another_version_counts_as_not_measured(format_name: str) -> None:
    path = calibration_path()
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"format": format_name, "points": []}))
    assert load_calibration() is None


@pytest.mark.parametrize("change", [{"cpu": "Another processor"}, {"cores": 999}])
def test_a_file_of_another_machine_counts_as_not_measured(change: dict[str, Any]) -> None:
    save(replace(CALIBRATION, machine={**machine(), **change}))
    assert load_calibration() is None


def test_another_torch_in_the_same_place_counts_as_not_measured() -> None:
    here = {**machine(), "python": sys.prefix}
    save(replace(CALIBRATION, machine={**here, "torch": "1.0.0"}))
    assert load_calibration() is None
    save(replace(CALIBRATION, machine={**here, "torch": f"{version('torch').split('+')[0]}+cpu"}))
    assert load_calibration() is not None


def test_a_torch_elsewhere_cannot_be_asked_and_is_trusted() -> None:
    save(replace(CALIBRATION, machine={**machine(), "python": "/elsewhere", "torch": "1.0.0"}))
    assert load_calibration() is not None


def test_without_a_torch_of_its_own_an_environment_trusts_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    save(replace(CALIBRATION, machine={**machine(), "python": sys.prefix, "torch": "1.0.0"}))
    monkeypatch.setattr("engine.cost.calibration.version", missing)
    assert load_calibration() is not None


@pytest.mark.parametrize(
    "damage",
    [
        "", "[]", "{", "null", '{"format": "other"}', "\x00", "[" * 50_000,
        '{"format": "trickster-calibration/2"}',
        '{"format": "trickster-calibration/2", "machine": [], "speeds": [], "runs": []}',
        "x" * (1 << 20) + "x",
    ],
)  # fmt: skip
def test_a_damaged_file_says_what_to_do(damage: str) -> None:
    path = calibration_path()
    path.parent.mkdir(parents=True)
    path.write_text(damage)
    with pytest.raises(CalibrationError, match="delete it and measure"):
        load_calibration()


def spoiled(place: tuple[str | int, ...], value: object) -> None:
    """Save the calibration with ``value`` at ``place``."""
    document: Any = to_dict(CALIBRATION)
    here = document
    for key in place[:-1]:
        here = here[key]
    here[place[-1]] = value
    path = save(CALIBRATION)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("value", [-1, "1", None, True, float("inf"), [1]])
@pytest.mark.parametrize(
    "place",
    [
        ("speeds", 0, "prices", "operations"), ("speeds", 0, "spread"), ("runs", 0, "seconds"),
        ("runs", 0, "work", "scores"), ("speeds", 0, "steps", 1, "seconds"),
        ("runs", 1, "threads"), ("created",),
    ],
)  # fmt: skip
def test_a_senseless_number_is_refused(place: tuple[str | int, ...], value: object) -> None:
    spoiled(place, value)
    with pytest.raises(CalibrationError):
        load_calibration()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("speeds",), [0] * 2), (("runs",), {}), (("machine",), None), (("runs", 0, "work"), []),
        (("runs", 0, "work"), {"scores": 1}), (("runs", 0, "seconds"), 0), (("speeds", 0), "fast"),
    ],
)  # fmt: skip
def test_something_else_in_its_place_is_refused(
    place: tuple[str | int, ...], value: object
) -> None:
    spoiled(place, value)
    with pytest.raises(CalibrationError):
        load_calibration()


def test_too_many_entries_are_refused() -> None:
    spoiled(("runs",), [{}] * 1_001)
    with pytest.raises(CalibrationError, match="too many runs"):
        load_calibration()


def test_a_folder_in_its_place_is_an_error_not_a_crash() -> None:
    calibration_path().mkdir(parents=True)
    with pytest.raises(CalibrationError, match="cannot be read"):
        load_calibration()


def test_a_failed_write_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save(CALIBRATION)
    assert list(calibration_path().parent.iterdir()) == []
