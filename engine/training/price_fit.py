"""Finds what each kind of work costs from the times of whole steps.

Least squares of relative errors, no price below 0: nothing takes negative time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.cost.calibration import MeasuredStep, Speed
from engine.cost.experience import cost_of
from engine.cost.step_work import Work

Array = npt.NDArray[np.float64]

_MOST_ROUNDS, _CLOSE = 5_000, 1e-7
# Prices as they were found on two cores with AVX-512, from many more designs than a calibration
# has time for. Only their proportions are used, and gently: a price that is off by all of itself
# weighs as much as one step that is off by a twentieth.
USUAL = {
    "fp32": Work(
        operations=2.7e-5, shared_operations=5.3e-5, product_flops=2.4e-12, product_bytes=6.8e-11,
        score_blocks=1.4e-7, scores=3.5e-10, score_flops=2.9e-12, element_bytes=1.3e-11,
        parameter_bytes=2.4e-11, logit_bytes=6.3e-11, fresh_bytes=1.7e-10, random_numbers=5e-9,
    ),
    "16 bits": Work(
        operations=2.5e-5, shared_operations=7.2e-5, product_flops=4.1e-13, product_bytes=1.8e-10,
        score_blocks=4.2e-6, scores=5.0e-10, score_flops=1e-12, element_bytes=1.1e-11,
        parameter_bytes=2.2e-11, logit_bytes=4.1e-11, fresh_bytes=2.0e-10, random_numbers=5e-9,
    ),
}  # fmt: skip
_GENTLY = 0.05


def fit_prices(precision: str, steps: Sequence[MeasuredStep]) -> Work:
    """Prices of each kind of work, in seconds, that come nearest to all of ``steps``.

    Usual proportions of prices decide what the steps leave open.
    """
    shares = np.array([[amount / step.seconds for amount in step.work] for step in steps])
    usual = np.array(USUAL["fp32" if precision == "fp32" else "16 bits"])
    usual *= np.median(1.0 / (shares @ usual))
    gently = _GENTLY * np.diag(1.0 / usual)
    wanted = np.concatenate([np.ones(len(steps)), np.full(len(usual), _GENTLY)])
    found = non_negative_least_squares(np.vstack([shares, gently]), wanted)
    return Work(*map(float, found))


def fitted_speed(precision: str, threads: int, steps: Sequence[MeasuredStep]) -> Speed:
    """Prices for ``steps``, and how far off they are for a step that they don't know.

    Each step is left out once and foretold from the others.
    """
    misses = []
    for at, left_out in enumerate(steps):
        others = [*steps[:at], *steps[at + 1 :]]
        foretold = cost_of(left_out.work, fit_prices(precision, others))
        misses.append(math.log(left_out.seconds / foretold) if foretold > 0 else math.inf)
    spread = float(np.median(np.abs(misses)))
    return Speed(precision, threads, fit_prices(precision, steps), spread, tuple(steps))


def non_negative_least_squares(matrix: Array, wanted: Array) -> Array:
    """The x ≥ 0 with the smallest |matrix · x − wanted|, by coordinate descent.

    Columns are brought to length 1 first; a column of zeros gets a 0.
    """
    lengths = np.linalg.norm(matrix, axis=0)
    used = np.flatnonzero(lengths)
    columns = matrix[:, used] / lengths[used]
    gram, target = columns.T @ columns, columns.T @ wanted
    found = np.zeros(len(used))
    for _ in range(_MOST_ROUNDS):
        before = found.copy()
        for at in range(len(used)):
            step = (target[at] - gram[at] @ found) / gram[at, at]
            found[at] = max(0.0, found[at] + step)
        if np.abs(found - before).max(initial=0.0) < _CLOSE:
            break
    solution = np.zeros(matrix.shape[1])
    solution[used] = found / lengths[used]
    return solution
