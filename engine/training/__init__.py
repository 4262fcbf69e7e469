"""How a model learns: preparation, the loop, checkpoints, samples. Needs torch."""

from __future__ import annotations
