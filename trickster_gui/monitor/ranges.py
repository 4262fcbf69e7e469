"""Axis ranges that move in coarse jumps: drawing axes costs more than drawing curves."""

from __future__ import annotations

import math

_STEPS = (1.0, 2.0, 5.0, 10.0)


def coarse_end(last: float, total: float | None, smallest: float = 10.0) -> float:
    """Right end of an axis from 0 that shows ``last``: the next of 1, 2, 5 × 10ⁿ, or ``total``
    once that is near."""
    last = max(last, smallest)
    power = 10.0 ** math.floor(math.log10(last))
    end = next(step * power for step in _STEPS if step * power >= last * (1 - 1e-9))
    if total is not None and total >= last and end > 0.7 * total:
        return total
    return end


def coarse_range(
    low: float, high: float, current: tuple[float, float] | None
) -> tuple[float, float]:
    """A range on round numbers that holds ``low`` to ``high`` with a little air.

    ``current`` is kept while it holds them and they fill at least half of it.
    """
    span = high - low
    if span <= 1e-9 * max(abs(low), abs(high), 1e-9):
        span = 0.2 * max(abs(low), abs(high)) or 1.0
        low, high = low - span / 2, high + span / 2
    if current is not None:
        inside = current[0] <= low and high <= current[1]
        if inside and span >= 0.5 * (current[1] - current[0]):
            return current
    power = 10.0 ** math.floor(math.log10(span))
    grid = next(step * power for step in _STEPS if step * power >= span) / 10.0
    air = 0.04 * span
    return math.floor((low - air) / grid) * grid, math.ceil((high + air) / grid) * grid
