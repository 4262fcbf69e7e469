"""Computers that were never measured, with speeds that can be worked out by hand."""

from __future__ import annotations

from engine.cost.calibration import Calibration, Speed, machine
from engine.cost.step_work import KINDS, Work, step_work
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

NOTHING = Work(*(0.0 for _ in KINDS))


def prices(**of: float) -> Work:
    """Prices of some kinds of work; the others are free."""
    return NOTHING._replace(**of)


def computer(
    spec: ModelSpec, run: RunSpec, step_s: float, *, threads: int = 2, spread: float = 0.1
) -> Calibration:
    """A computer on which an update of ``spec`` takes ``step_s``.

    Only matrix products take time, so it grows in proportion to the tokens.
    """
    price = step_s / step_work(spec, run).product_flops
    speed = Speed(run.precision, threads, prices(product_flops=price), spread)
    return Calibration((speed,), machine())
