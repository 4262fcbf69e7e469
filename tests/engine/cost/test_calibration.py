from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cost.calibration import (
    Calibration,
    CalibrationError,
    Point,
    calibration_path,
    load_calibration,
    save,
)

POINTS = (
    Point(10**12, 10.0, 4_096, "fp32", 2),
    Point(10**10, 0.2, 768, "fp32", 2),
    Point(10**10, 0.4, 768, "fp32", 1),
    Point(10**12, 5.0, 4_096, "bf16-mixed", 2),
)
CALIBRATION = Calibration(POINTS, {"cpu": "A CPU", "cores": 2}, "cpu", 1.5)


def test_nothing_measured_is_none() -> None:
    assert load_calibration() is None


def test_what_is_saved_is_loaded() -> None:
    assert save(CALIBRATION) == calibration_path("cpu")
    assert load_calibration() == CALIBRATION
    assert load_calibration("cuda:0") is None
    assert [path.name for path in calibration_path().parent.iterdir()] == ["calibration-cpu.json"]


def test_matching_takes_the_precision_and_the_nearest_threads_by_size() -> None:
    assert CALIBRATION.matching("fp32", 1) == (POINTS[2],)
    assert CALIBRATION.matching("fp32", 8) == (POINTS[1], POINTS[0])
    assert CALIBRATION.matching("fp32", None) == (POINTS[1], POINTS[0])
    assert CALIBRATION.matching("bf16", None) == ()


@pytest.mark.parametrize(
    "damage",
    [
        "", "[]", "{", "null", '{"format": "other"}', "\x00", "[" * 50_000,
        '{"format": "trickster-calibration/1"}',
        '{"format": "trickster-calibration/1", "machine": [], "points": []}',
        "x" * (1 << 20) + "x",
    ],
)  # fmt: skip
def test_a_damaged_file_says_what_to_do(damage: str) -> None:
    path = calibration_path()
    path.parent.mkdir(parents=True)
    path.write_text(damage)
    with pytest.raises(CalibrationError, match="delete it and measure"):
        load_calibration()


@pytest.mark.parametrize("value", [0, -1, "1", None, True, float("inf"), [1]])
def test_a_senseless_number_is_refused(value: object) -> None:
    save(CALIBRATION)
    path = calibration_path()
    document = json.loads(path.read_text())
    document["points"][0]["seconds"] = value
    path.write_text(json.dumps(document))
    with pytest.raises(CalibrationError):
        load_calibration()


def test_too_many_points_are_refused() -> None:
    save(Calibration((), {}, "cpu", 1.0))
    path = calibration_path()
    document = json.loads(path.read_text())
    document["points"] = [0] * 10_001
    path.write_text(json.dumps(document))
    with pytest.raises(CalibrationError, match="too many"):
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
