"""Trickster's engine: design, cost, data, training and generation, without any window.

Nothing is imported here, so that each part costs only its own imports.
"""

from __future__ import annotations

__version__ = "0.1.0"
