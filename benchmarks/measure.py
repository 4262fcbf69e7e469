"""How speed is measured here: ratios of variants that take turns, with their spread.

Absolute times on a shared machine mean nothing; two variants that alternate within one run see
the same machine.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a list of measurements."""

    median: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.median:.3g} (quartiles {self.low:.3g} to {self.high:.3g}, n = {self.count})"


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of at least two values."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which ``percent`` (1 to 99) of the measurements lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def interleaved_ratio(
    first: Callable[[], float], second: Callable[[], float], pairs: int
) -> tuple[Spread, list[float]]:
    """Ratio first ÷ second over pairs of calls that swap their order each time.

    Each callable measures itself and returns its figure (steps per second, say).
    """
    ratios = []
    for turn in range(pairs):
        if turn % 2:
            below, above = second(), first()
        else:
            above, below = first(), second()
        ratios.append(above / below)
    return spread(ratios), ratios
