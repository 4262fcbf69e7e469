"""How far the making of an environment is: what is told while it goes on, and how it is known."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.devices.pip_output import fetched, installing

# Measured with ttnn 0.81.1 under Python 3.12 (docs/tenstorrent.md): what is fetched, and what lies
# there afterwards. While it is made both are there, and pip may keep a copy of what it fetched.
DOWNLOAD_BYTES, SIZE_BYTES = 175_000_000, 750_000_000
SPACE_BYTES = SIZE_BYTES + 2 * DOWNLOAD_BYTES + 100_000_000
# How much of the work is done when each part begins, as it was measured.
MAKING, FETCHING, INSTALLING, CHECKING = 0.0, 0.06, 0.6, 0.95
_LOOK_S = 0.25


@dataclass(frozen=True)
class Progress:
    """How far it is: the step in words, the part done (0 to 1), and what changes often."""

    text: str
    fraction: float
    detail: str = ""


OnProgress = Callable[[Progress], None]
Say = Callable[[str, float, str], None]
Stop = Callable[[], bool]


class Fetching:
    """Follows a download: pip's lines name the package, the files that grow show how far it is."""

    def __init__(self, say: Say, stop: Stop, folder: Path) -> None:
        self._say, self._stop, self._folder = say, stop, folder
        self._text = "Asking the package index"
        self._looked_at = 0.0
        self._tell(0)

    def hear(self, line: str) -> None:
        """A line of pip's."""
        if what := fetched(line):
            self._text = f"Downloading {what}"
            self._looked_at = 0.0

    def look(self) -> bool:
        """See how far it is; whether it shall end."""
        if time.monotonic() - self._looked_at > _LOOK_S:
            self._looked_at = time.monotonic()
            self._tell(_bytes_in(self._folder))
        return self._stop()

    def _tell(self, done_bytes: int) -> None:
        part = min(1.0, done_bytes / DOWNLOAD_BYTES)
        detail = f"{done_bytes / 1e6:.0f} of about {DOWNLOAD_BYTES / 1e6:.0f} MB"
        fraction = FETCHING + (INSTALLING - FETCHING) * part
        self._say(self._text, fraction, detail if done_bytes else "")


class Installing:
    """Follows an installation: each package that is whole has a folder of its own in the end."""

    def __init__(self, say: Say, stop: Stop, environment: Path) -> None:
        self._say, self._stop, self._environment = say, stop, environment
        self._number, self._before, self._looked_at = 0, self._whole(), 0.0
        say("Installing the packages", INSTALLING, "")

    def hear(self, line: str) -> None:
        """A line of pip's."""
        self._number = self._number or installing(line)

    def look(self) -> bool:
        """See how far it is; whether it shall end."""
        if self._number and time.monotonic() - self._looked_at > _LOOK_S:
            self._looked_at = time.monotonic()
            done = min(self._number, max(0, self._whole() - self._before))
            self._say(
                f"Installing {self._number} package{'s' if self._number > 1 else ''}",
                INSTALLING + (CHECKING - INSTALLING) * done / self._number,
                f"{done} of {self._number}",
            )
        return self._stop()

    def _whole(self) -> int:
        return len(list(self._environment.glob("lib/python3*/site-packages/*.dist-info")))


def _bytes_in(folder: Path) -> int:
    found = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # pip deletes as it goes
            found += path.stat().st_size
    return found
