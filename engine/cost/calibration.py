"""How fast this computer trained models of several sizes: measured once, kept in a file.

The file is written by the benchmark of the training engine and read here, without torch:

    {"format": "trickster-calibration/1", "device": "cpu", "created": 1760000000.0,
     "machine": {"cpu": "…", "cores": 8, "torch": "2.13.0"},
     "points": [{"flops_per_step": 1, "seconds": 0.1, "tokens_per_step": 1,
                 "precision": "fp32", "threads": 8}, …]}

``flops_per_step`` counts as engine.cost.time.work_per_batch does: training FLOPs a token × tokens,
scores several times where dropout keeps them from being fused.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.locations import cache_home

FORMAT = "trickster-calibration/1"
_MAX_BYTES = 1 << 20
_MAX_POINTS = 10_000


class CalibrationError(ValueError):
    """A calibration file that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Point:
    """One measured training step (the median of several).

    Attributes:
        flops_per_step: training FLOPs of the step, as engine.cost.time.work_per_batch counts.
        seconds: time that the step took.
        tokens_per_step: tokens it learned from.
        precision: fp32, bf16-mixed or bf16.
        threads: CPU threads it ran on; 0 on a GPU.
    """

    flops_per_step: int
    seconds: float
    tokens_per_step: int
    precision: str
    threads: int

    @property
    def rate(self) -> float:
        """FLOP/s reached."""
        return self.flops_per_step / self.seconds


@dataclass(frozen=True)
class Calibration:
    """Measured points of one device of this machine.

    ``machine`` is a fingerprint (processor, cores, torch's version): a calibration of another
    machine says nothing about this one.
    """

    points: tuple[Point, ...]
    machine: Mapping[str, str | int]
    device: str = "cpu"
    created: float = 0.0

    def matching(self, precision: str, threads: int | None) -> tuple[Point, ...]:
        """Points of this precision, and of the nearest number of threads, by size."""
        points = [point for point in self.points if point.precision == precision]
        if points and threads is not None:
            nearest = min({point.threads for point in points}, key=lambda n: abs(n - threads))
            points = [point for point in points if point.threads == nearest]
        elif points:
            most = max(point.threads for point in points)
            points = [point for point in points if point.threads == most]
        return tuple(sorted(points, key=lambda point: point.flops_per_step))


def calibration_path(device: str = "cpu") -> Path:
    """Where the calibration of ``device`` is kept."""
    name = "".join(c if c.isalnum() else "-" for c in device)
    return cache_home() / f"calibration-{name}.json"


def load_calibration(device: str = "cpu") -> Calibration | None:
    """What was measured on this computer; None where nothing was.

    Raises CalibrationError for a file that is damaged.
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
        return _from_json(json.loads(raw.decode("utf-8")))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise CalibrationError(
            f"{path} is damaged ({error}): delete it and measure this computer's speed again"
        ) from error


def save(calibration: Calibration) -> Path:
    """Write the file, whole or not at all; return its path."""
    path = calibration_path(calibration.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "format": FORMAT,
        "device": calibration.device,
        "created": calibration.created,
        "machine": dict(calibration.machine),
        "points": [asdict(point) for point in calibration.points],
    }
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _from_json(document: object) -> Calibration:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    machine, points = document["machine"], document["points"]
    if not isinstance(machine, dict) or not isinstance(points, list):
        raise ValueError("machine or points are missing")
    if len(points) > _MAX_POINTS:
        raise ValueError("it holds too many points")
    return Calibration(
        points=tuple(_point(entry) for entry in points),
        machine={
            str(key): value if isinstance(value, int) else str(value)
            for key, value in machine.items()
        },
        device=str(document["device"]),
        created=_positive(document["created"]),
    )


def _point(entry: Mapping[str, object]) -> Point:
    return Point(
        flops_per_step=int(_positive(entry["flops_per_step"])),
        seconds=_positive(entry["seconds"]),
        tokens_per_step=int(_positive(entry["tokens_per_step"])),
        precision=str(entry["precision"]),
        threads=int(_positive(entry["threads"], zero=True)),
    )


def _positive(value: object, zero: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    if value < 0 or (value == 0 and not zero):
        raise ValueError(f"{value} is not positive")
    return value
