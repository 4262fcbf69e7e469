"""Whether other programs took the processor while something was measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class CpuTimes:
    """Seconds of all cores that were busy, and that this process took, up to a moment."""

    moment: float
    busy_s: float
    own_s: float


def cpu_times() -> CpuTimes:
    """The counters of now."""
    whole, own = psutil.cpu_times(), psutil.Process().cpu_times()
    idle = whole.idle + getattr(whole, "iowait", 0.0)
    return CpuTimes(time.perf_counter(), sum(_disjoint(whole)) - idle, own.user + own.system)


def contested(before: CpuTimes, after: CpuTimes, threads: int, cores: int | None = None) -> float:
    """Part of ``threads`` that other programs had a claim on, 0 to 1, on average.

    Others count only as far as the cores do not suffice for both: on a large machine they go
    past each other.
    """
    elapsed = after.moment - before.moment
    if elapsed <= 0 or threads < 1:
        return 0.0
    others = ((after.busy_s - before.busy_s) - (after.own_s - before.own_s)) / elapsed
    wanted = others + threads - (cores or psutil.cpu_count() or 1)
    return max(0.0, min(1.0, wanted / threads))


def _disjoint(times: object) -> list[float]:
    """Every kind of time once: Linux counts guests among user and nice already."""
    fields: tuple[str, ...] = getattr(times, "_fields", ())
    return [getattr(times, name) for name in fields if not name.startswith("guest")]
