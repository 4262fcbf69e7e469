"""What a design costs, in integers and microseconds: parameters, FLOPs, memory, time, fit."""

from __future__ import annotations
