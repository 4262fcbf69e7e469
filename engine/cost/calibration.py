"""What each kind of work costs on this computer, and how fast its runs were: kept in a file.

Prices are fitted by the training engine to real steps of small designs and read here, without
torch; each run that is trained adds how fast it was:

    {"format": "trickster-calibration/2", "device": "cpu", "created": 1760000000.0,
     "machine": {"cpu": "…", "cores": 8, "torch": "2.13.0", "python": "/…/.venv"},
     "speeds": [{"precision": "fp32", "threads": 8, "prices": {"operations": 5e-06, …},
                 "spread": 0.05, "contested": 0.0,
                 "steps": [{"work": {"operations": 260.0, …}, "seconds": 0.03}]}],
     "runs": [{"precision": "fp32", "threads": 8, "work": {…}, "seconds": 0.4}]}

``work`` holds the amounts of engine.cost.step_work, ``prices`` seconds for one of each.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.cost.step_work import KINDS, Work
from engine.devices.host import cpu_name, usable_cores
from engine.locations import cache_home

_FAMILY = "trickster-calibration/"
FORMAT = f"{_FAMILY}2"
_MAX_BYTES = 1 << 20
_MAX_ENTRIES = 1_000
# Amounts of each kind of work that take about a millisecond on a common processor.
_NOTABLE = Work(200.0, 20.0, 3e8, 5e7, 200.0, 3e6, 1e9, 5e7, 5e7, 2e7, 1e7, 1e6)
_EVEN = len(KINDS) ** -0.5


class CalibrationError(ValueError):
    """A calibration file that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class MeasuredStep:
    """One update of some design: what it did, and the seconds that it usually took."""

    work: Work
    seconds: float

    @cached_property
    def place(self) -> tuple[float, ...]:
        """Where it stands among all designs (``place_of``)."""
        return place_of(self.work)


def place_of(work: Work) -> tuple[float, ...]:
    """Where a step stands among all: logarithms of its amounts.

    Scaled so that the distance of two places is the root mean square of the logarithms of their
    ratios. Amounts that hardly take time stand together near 0.
    """
    return tuple(
        math.log1p(amount / notable) * _EVEN for amount, notable in zip(work, _NOTABLE, strict=True)
    )


@dataclass(frozen=True)
class Speed:
    """What work costs in one precision with so many threads.

    Attributes:
        precision: fp32, bf16-mixed or bf16.
        threads: CPU threads it was measured with; 0 on a GPU.
        prices: seconds for one of each kind of work, none below 0.
        spread: by how much the prices miss a design that they were not fitted to: typical size
            of ln(measured ÷ predicted).
        steps: the measured steps that the prices were fitted to.
        contested: part of the threads that other programs wanted meanwhile, 0 to 1.
    """

    precision: str
    threads: int
    prices: Work
    spread: float = 0.0
    steps: tuple[MeasuredStep, ...] = ()
    contested: float = 0.0

    @cached_property
    def largest_s(self) -> float:
        """Seconds of the largest step that was measured; 0 where none is known."""
        return max((step.seconds for step in self.steps), default=0.0)


@dataclass(frozen=True)
class RunSpeed:
    """The usual time of an update in a run that was trained here."""

    precision: str
    threads: int
    step: MeasuredStep


@dataclass(frozen=True)
class Calibration:
    """Prices and runs of one device of this machine.

    ``machine`` is a fingerprint (processor, cores, torch's version and whose it is): a
    calibration of another machine says nothing about this one. ``runs`` are oldest first.
    """

    speeds: tuple[Speed, ...]
    machine: Mapping[str, str | int]
    device: str = "cpu"
    created: float = 0.0
    runs: tuple[RunSpeed, ...] = ()

    @cached_property
    def memo(self) -> dict[object, Any]:
        """Room for what follows from all of this and is asked for many times a second."""
        return {}

    def speed(self, precision: str, threads: int | None) -> Speed | None:
        """Prices in this precision for the nearest number of threads (None: the most)."""
        found = [speed for speed in self.speeds if speed.precision == precision]
        if not found:
            return None
        if threads is None or self.device != "cpu":
            return max(found, key=lambda speed: speed.threads)
        return min(found, key=lambda speed: abs(speed.threads - threads))

    def runs_like(self, precision: str, threads: int) -> tuple[MeasuredStep, ...]:
        """Steps of runs in this precision with exactly so many threads, oldest first."""
        return tuple(
            run.step for run in self.runs if run.precision == precision and run.threads == threads
        )


def machine() -> dict[str, str | int]:
    """What a calibration belongs to, as far as it is known without torch."""
    return {"cpu": cpu_name(), "cores": usable_cores()}


def belongs_here(calibration: Calibration) -> bool:
    """Whether it was measured on this machine as it is now.

    Torch's version counts where this very Python environment measured: another one, which only
    the workers use, cannot be asked.
    """
    recorded = calibration.machine
    if any(recorded.get(key, value) != value for key, value in machine().items()):
        return False
    if recorded.get("python") != sys.prefix:
        return True
    try:
        installed = version("torch")
    except PackageNotFoundError:
        return True
    return _release(str(recorded.get("torch", ""))) == _release(installed)


def _release(of_torch: str) -> str:
    """2.13.0 of 2.13.0+cpu: torch and its packaging do not always name the build alike."""
    return of_torch.partition("+")[0]


def calibration_path(device: str = "cpu") -> Path:
    """Where the calibration of ``device`` is kept."""
    name = "".join(c if c.isalnum() else "-" for c in device)
    return cache_home() / f"calibration-{name}.json"


def load_calibration(device: str = "cpu") -> Calibration | None:
    """What was measured on this computer; None where nothing was.

    A file of another version of this program, or of another machine (a home that moved, a
    processor or a torch that changed), counts as nothing. Raises CalibrationError for a file
    that is damaged.
    """
    path = calibration_path(device)
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        if len(raw) > _MAX_BYTES:
            raise ValueError("it is too large")
        calibration = _from_json(json.loads(raw.decode("utf-8")))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise CalibrationError(
            f"{path} is damaged ({error}): delete it and measure this computer's speed again"
        ) from error
    return calibration if calibration is not None and belongs_here(calibration) else None


def save(calibration: Calibration) -> Path:
    """Write the file, whole or not at all; return its path."""
    path = calibration_path(calibration.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(to_dict(calibration), file, indent=1)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def to_dict(calibration: Calibration) -> dict[str, Any]:
    """What the file holds, ready for JSON."""
    return {
        "format": FORMAT,
        "device": calibration.device,
        "created": calibration.created,
        "machine": dict(calibration.machine),
        "speeds": [
            {
                "precision": speed.precision,
                "threads": speed.threads,
                "prices": speed.prices._asdict(),
                "spread": speed.spread,
                "steps": [_step_to_dict(step) for step in speed.steps],
                "contested": speed.contested,
            }
            for speed in calibration.speeds
        ],
        "runs": [
            {"precision": run.precision, "threads": run.threads, **_step_to_dict(run.step)}
            for run in calibration.runs
        ],
    }


def _step_to_dict(step: MeasuredStep) -> dict[str, Any]:
    return {"work": step.work._asdict(), "seconds": step.seconds}


def _from_json(document: object) -> Calibration | None:
    """The calibration; None for one of another version."""
    name = document.get("format") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not str(name).startswith(_FAMILY):
        raise ValueError(f"its format is not {FORMAT}")
    if name != FORMAT:
        return None
    found = document["machine"]
    if not isinstance(found, dict):
        raise ValueError("the machine is missing")
    return Calibration(
        speeds=tuple(_speed(entry) for entry in _entries(document, "speeds")),
        machine={
            str(key): value if isinstance(value, int) else str(value)
            for key, value in found.items()
        },
        device=str(document["device"]),
        created=_number(document["created"]),
        runs=tuple(
            RunSpeed(str(entry["precision"]), int(_number(entry["threads"])), _step(entry))
            for entry in _entries(document, "runs")
        ),
    )


def _entries(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = document[name]
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ValueError(f"its {name} are no list")
    if len(found) > _MAX_ENTRIES:
        raise ValueError(f"it holds too many {name}")
    return found


def _speed(entry: Mapping[str, Any]) -> Speed:
    return Speed(
        precision=str(entry["precision"]),
        threads=int(_number(entry["threads"])),
        prices=_work(entry["prices"]),
        spread=_number(entry["spread"]),
        steps=tuple(_step(step) for step in _entries(entry, "steps")),
        contested=_number(entry["contested"]),
    )


def _step(entry: Mapping[str, Any]) -> MeasuredStep:
    seconds = _number(entry["seconds"])
    if seconds == 0:
        raise ValueError("a step takes no time")
    return MeasuredStep(_work(entry["work"]), seconds)


def _work(entry: object) -> Work:
    if not isinstance(entry, dict):
        raise ValueError("kinds of work are missing")
    return Work(*(_number(entry[kind]) for kind in KINDS))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    if value < 0:
        raise ValueError(f"{value} is below 0")
    return float(value)
