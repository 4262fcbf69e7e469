"""What a run was made with, for its record."""

from __future__ import annotations

import platform

import numpy
import torch

import engine


def versions() -> dict[str, str]:
    """Versions of everything that may change a run's numbers."""
    return {
        "trickster": engine.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }
