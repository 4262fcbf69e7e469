"""How many threads a CPU run uses."""

from __future__ import annotations

from pathlib import Path

from engine.devices.host import usable_cores

_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


def default_threads(quota_file: Path = _QUOTA_FILE) -> int:
    """Physical cores that this process may use: affinity and container quota respected.

    A second hardware thread on a core shares its arithmetic units, so matrix products gain
    nothing from it.
    """
    quota = quota_cores(quota_file)
    return usable_cores() if quota is None else min(usable_cores(), quota)


def quota_cores(quota_file: Path = _QUOTA_FILE) -> int | None:
    """Whole cores that a Linux container may use, at least one; None where there is no quota."""
    try:
        quota, period = quota_file.read_text().split()[:2]
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
