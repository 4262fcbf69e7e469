"""What a run was made with, for its record."""

from __future__ import annotations

import torch

from engine.training.base_versions import base_versions


def versions() -> dict[str, str]:
    """Versions of everything that may change a run's numbers."""
    return {**base_versions(), "torch": str(torch.__version__)}
