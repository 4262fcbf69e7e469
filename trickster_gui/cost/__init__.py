"""The cost view: what a design costs in parameters, memory, compute and time, as it is dragged."""

from __future__ import annotations
