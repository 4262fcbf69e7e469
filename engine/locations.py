"""Where the program keeps what belongs to a person: runs, downloaded texts, settings."""

from __future__ import annotations

import os
from pathlib import Path

_APPLICATION = "trickster"


def data_home() -> Path:
    """Folder for runs and designs: ``$TRICKSTER_HOME``, or the system's place for user data."""
    home = os.environ.get("TRICKSTER_HOME")
    if home:
        return Path(home).expanduser()
    import platformdirs  # late: a bare Python makes the environment of cards in a checkout

    return platformdirs.user_data_path(_APPLICATION, appauthor=False)


def cache_home() -> Path:
    """Folder for what can be fetched or measured again (texts, calibration)."""
    home = os.environ.get("TRICKSTER_HOME")
    if home:
        return Path(home).expanduser() / "cache"
    import platformdirs

    return platformdirs.user_cache_path(_APPLICATION, appauthor=False)


def runs_home() -> Path:
    """Folder in which the window keeps its runs, one folder a run."""
    return data_home() / "runs"
