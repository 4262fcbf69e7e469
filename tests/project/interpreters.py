"""The Pythons 3.10 to 3.13 that are installed here."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

VERSIONS = ("3.10", "3.11", "3.12", "3.13")


@functools.lru_cache(maxsize=1)
def installed() -> dict[str, Path]:
    """One working interpreter for each version: this one, and those on PATH or in pyenv."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": Path(sys.executable)}
    for version in VERSIONS:
        for candidate in () if version in found else _candidates(version):
            if _version(candidate) == version:
                found[version] = candidate
                break
    return found


def _candidates(version: str) -> list[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    own = sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True)
    # pyenv's shims answer only for the versions that are switched on, so they come last.
    on_path = [Path(folder) / f"python{version}" for folder in os.get_exec_path()]
    return [path for path in own + on_path if path.is_file()]


def _version(python: Path) -> str:
    """The major and minor version that this program says it is, "" where it can't be started."""
    try:
        done = subprocess.run(
            [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
