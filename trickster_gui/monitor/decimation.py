"""Fewer points that look the same: lowest and highest value in each column of pixels.

Nothing that would be seen is lost: a single spike among a million points stays.
"""

from __future__ import annotations

import numpy as np

from trickster_gui.monitor.columns import Array, Columns

BLOCK = 64


class Envelope:
    """Lowest and highest of each full block of 64 points of a growing series."""

    def __init__(self) -> None:
        self._blocks = Columns(("low", "high"))

    def update(self, values: Array) -> tuple[Array, Array]:
        """Both of all full blocks of ``values``, which begin with those of earlier calls."""
        done, full = len(self._blocks), len(values) // BLOCK
        if full > done:
            new = values[done * BLOCK : full * BLOCK].reshape(-1, BLOCK)
            self._blocks.extend_columns(np.fmin.reduce(new, 1), np.fmax.reduce(new, 1))
        return self._blocks.column("low")[:full], self._blocks.column("high")[:full]


def visible(
    x: Array, y: Array, edges: Array, envelope: Envelope | None = None
) -> tuple[Array, Array]:
    """Points to draw of the series ``x`` (ascending), ``y``, both (n,).

    ``edges`` (columns + 1,) are the ascending borders of the pixel columns in units of ``x``.
    Up to two points a column are kept as they are, with one on each side beyond the view so that
    the line goes on; otherwise each column becomes its lowest and its highest. A column of NaN
    stays NaN: a gap. ``envelope`` belongs to this series and makes long ones fast.
    """
    first = max(int(np.searchsorted(x, edges[0], "left")) - 1, 0)
    last = min(int(np.searchsorted(x, edges[-1], "right")) + 1, len(x))
    columns = len(edges) - 1
    if last - first <= 2 * columns:
        return x[first:last], y[first:last]
    if envelope is not None and last - first > 4 * BLOCK * columns:
        low, high = envelope.update(y)
        begin, end = first // BLOCK, min(last // BLOCK, len(low))
        tail = y[end * BLOCK : last]
        return _columns(
            np.concatenate((x[begin * BLOCK : end * BLOCK : BLOCK], x[end * BLOCK : last])),
            np.concatenate((low[begin:end], tail)),
            np.concatenate((high[begin:end], tail)),
            edges,
        )
    return _columns(x[first:last], y[first:last], y[first:last], edges)


def _columns(x: Array, low: Array, high: Array, edges: Array) -> tuple[Array, Array]:
    starts = np.searchsorted(x, edges[:-1], "left")
    starts = np.unique(np.minimum(np.concatenate(([0], starts)), len(x) - 1))
    result = np.empty(2 * len(starts))
    result[0::2] = np.fmin.reduceat(low, starts)
    result[1::2] = np.fmax.reduceat(high, starts)
    return np.repeat(x[starts], 2), result


def index_near(x: Array, value: float) -> int:
    """Index of the point of ``x`` (ascending, not empty) that is nearest to ``value``."""
    after = int(np.searchsorted(x, value))
    if after == 0:
        return 0
    if after == len(x) or value - x[after - 1] <= x[after] - value:
        return after - 1
    return after
