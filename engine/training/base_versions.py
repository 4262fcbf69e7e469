"""What every run was made with, whatever it was trained by."""

from __future__ import annotations

import platform

import numpy

import engine


def base_versions() -> dict[str, str]:
    """Versions of the program, Python, numpy and the system."""
    return {
        "trickster": engine.__version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }
