"""Exponential moving average without the bias of its start (Kingma & Ba 2015, section 3).

For weights beta in [0, 1): m_t = beta m_{t-1} + (1 - beta) x_t, divided by the sum of the weights
that went into it. Values that are not finite are left out of both sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trickster_gui.monitor.columns import Array, Columns

_BLOCK = 64
# Points worked on at once: small enough to stay in the cache of the processor.
_CHUNK = 16_384


@dataclass(frozen=True)
class Memory:
    """State of the average between two calls: weighted sum of values, and sum of weights."""

    total: float = 0.0
    weight: float = 0.0


def recursive_filter(values: Array, beta: float, start: float) -> Array:
    """y_t = beta y_{t-1} + (1 - beta) x_t with y_{-1} = ``start``, for finite x of shape (n,).

    Works on all blocks of 64 at once; the ends of the blocks follow the same recursion with beta
    to the power of 64.
    """
    n = len(values)
    if n <= _BLOCK:
        result = np.empty(n)
        last = start
        for index, value in enumerate(values.tolist()):
            last = beta * last + (1.0 - beta) * value
            result[index] = last
        return result
    padded = np.zeros(-(-n // _BLOCK) * _BLOCK)
    np.multiply(values, 1.0 - beta, out=padded[:n])
    within = np.ascontiguousarray(padded.reshape(-1, _BLOCK).T)  # (place in block, block)
    for place in range(1, _BLOCK):
        within[place] += beta * within[place - 1]
    power = beta**_BLOCK
    ends = recursive_filter(within[-1] / (1.0 - power), power, start)
    before = np.concatenate(([start], ends[:-1]))
    within += before * beta ** np.arange(1.0, _BLOCK + 1.0)[:, None]
    smoothed: Array = within.T.ravel()[:n]
    return smoothed


def _weights(n: int, beta: float, start: float) -> Array:
    """Sum of the weights after each of ``n`` more values; from 1 on it stays 1."""
    if start == 1.0:
        return np.ones(n)
    weights: Array = 1.0 - (1.0 - start) * beta ** np.arange(1.0, n + 1.0)
    return weights


class MovingAverage:
    """The debiased average of one growing series; new points only are worked on."""

    def __init__(self, beta: float, start: Memory) -> None:
        self.beta = beta
        self._start = start
        self._sums = Columns(("total", "weight", "smoothed"))

    def update(self, values: Array) -> Array:
        """The average at each of ``values`` (n,), which begin with those of earlier calls."""
        done = len(self._sums)
        self._sums.reserve(len(values))
        for first in range(done, len(values), _CHUNK):
            self._append(values[first : first + _CHUNK])
        return self._sums.column("smoothed")

    def _append(self, new: Array) -> None:
        before = self.memory(len(self._sums))
        finite = np.isfinite(new)
        if finite.all():
            total = recursive_filter(new, self.beta, before.total)
            weight = _weights(len(new), self.beta, before.weight)
            smoothed = total / weight
        else:
            total = recursive_filter(np.where(finite, new, 0.0), self.beta, before.total)
            weight = recursive_filter(finite.astype(np.float64), self.beta, before.weight)
            with np.errstate(invalid="ignore", divide="ignore"):
                smoothed = np.where(weight > 0.0, total / weight, np.nan)
        self._sums.extend_columns(total, weight, smoothed)

    def memory(self, count: int) -> Memory:
        """State after the first ``count`` points."""
        if count == 0:
            return self._start
        return Memory(
            float(self._sums.column("total")[count - 1]),
            float(self._sums.column("weight")[count - 1]),
        )
