"""How long training takes: from what was measured on this computer, else from a card's table.

A rate is never exact: every estimate has a low and a high end, and says what it is based on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from engine.cost.calibration import Calibration, Point
from engine.cost.flops import flops_per_token, recomputed_flops_per_token
from engine.devices.card import Device
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

# Between measured sizes rates are within this of the line through them; beyond them, within that.
_SPREAD_INSIDE, _SPREAD_OUTSIDE = 1.15, 1.6
# On Wormhole dense bf16 runs at half the rate of BLOCKFP8; where only that is printed (Blackhole)
# the same is taken.
_BF16_OF_BLOCKFP8 = 0.5
# With dropout torch has no fused attention for the CPU: a step takes as long as if its scores were
# so many times the arithmetic (low, likely, high). Measured twice on two cores, fp32, dropout 0.1
# in turn with 0: 3.3 and 3.8 (64 wide, 64 tokens), 5.2 and 6.7 (192, 128), 5.4 and 5.4 (256, 256),
# 6.4 and 6.0 (256, 512).
UNFUSED_SCORES = (3.3, 5.5, 6.7)
_ONCE = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Rate:
    """FLOP/s of one training step, with the ends of the range it lies in.

    ``kind`` says whether it comes from measurements on this machine or from a table, or a guess
    has a part in it. ``scores_count`` is how often the arithmetic of attention scores counts at
    this rate: low, likely, high.
    """

    flops_per_s: float
    low: float
    high: float
    kind: Literal["measured", "estimate"]
    source: str
    scores_count: tuple[float, float, float] = _ONCE


@dataclass(frozen=True)
class Estimate:
    """A time in seconds with the ends of the range it lies in, and where the rate is from."""

    seconds: float
    low: float
    high: float
    kind: Literal["measured", "estimate"] = "estimate"
    source: str = ""

    def times(self, number: float) -> Estimate:
        """The time for ``number`` of these."""
        return replace(
            self, seconds=self.seconds * number, low=self.low * number, high=self.high * number
        )


def compute_optimal_tokens(parameters: int) -> int:
    """Tokens that make the best of a training budget: about 20 a parameter.

    Hoffmann et al. 2022 ("Chinchilla", arXiv:2203.15556).
    """
    return 20 * parameters


def flops_per_step(spec: ModelSpec, run: RunSpec) -> int:
    """Training FLOPs of one update, all micro-batches; no recomputation counted."""
    per_token = flops_per_token(spec, run.sequence_length(spec)).training
    return per_token * run.tokens_per_step(spec)


def step_time(spec: ModelSpec, run: RunSpec, rate: Rate) -> Estimate:
    """Time of one update at ``rate``; gradient checkpointing adds its second forward pass."""
    low, likely, high = (_work_per_step(spec, run, count) for count in rate.scores_count)
    return Estimate(
        seconds=likely / rate.flops_per_s,
        low=low / rate.high,
        high=high / rate.low,
        kind=rate.kind,
        source=rate.source,
    )


def _work_per_step(spec: ModelSpec, run: RunSpec, scores_count: float) -> float:
    """FLOPs of one update, recomputed ones too, those of scores counted ``scores_count`` times."""
    seq_len = run.sequence_length(spec)
    flops = flops_per_token(spec, seq_len)
    again = (scores_count - 1) * flops.parts["scores"]
    work = flops.training + again
    if run.gradient_checkpointing:
        work += recomputed_flops_per_token(spec, seq_len) + again / 3
    return work * run.tokens_per_step(spec)


def scores_count(spec: ModelSpec, device: str) -> tuple[float, float, float]:
    """How often the arithmetic of scores counts on ``device``: low, likely, high."""
    return UNFUSED_SCORES if spec.dropout > 0 and device == "cpu" else _ONCE


def work_per_batch(spec: ModelSpec, run: RunSpec, device: str) -> int:
    """What points of a calibration call FLOPs: those of one micro-batch, no recomputation.

    Scores that are not fused count as often as they likely cost, so that a measured step with
    dropout tells the same speed of a computer as one without.
    """
    run = run.replace(gradient_checkpointing=False)
    _, likely, _ = scores_count(spec, device)
    return round(_work_per_step(spec, run, likely)) // run.accumulation_steps


def measured_rate(calibration: Calibration, spec: ModelSpec, run: RunSpec) -> Rate | None:
    """The rate that this machine reaches with a step of this size; None without fitting points.

    Small steps reach fewer FLOP/s: fixed costs weigh more. Between measured sizes the logarithm
    of the rate is interpolated over the logarithm of a micro-batch's FLOPs; beyond them the
    nearest rate holds, with a wider range. Dropout on the CPU makes it an estimate.
    """
    points = calibration.matching(run.precision, run.threads)
    if not points:
        return None
    flops = work_per_batch(spec, run, calibration.device)
    rate, inside = _interpolate(points, flops)
    spread = _SPREAD_INSIDE if inside else _SPREAD_OUTSIDE
    where = "between them" if inside else "larger or smaller"
    plural = "" if len(points) == 1 else "s"
    counted = scores_count(spec, calibration.device)
    slower = "" if counted == _ONCE else "; dropout slows attention on the CPU by an estimate"
    return Rate(
        flops_per_s=rate,
        low=rate / spread,
        high=rate * spread,
        kind="measured" if counted == _ONCE else "estimate",
        source=(
            f"{len(points)} measured training step{plural} on this computer; this is {where}"
            f"{slower}"
        ),
        scores_count=counted,
    )


def _interpolate(points: Sequence[Point], flops: int) -> tuple[float, bool]:
    """FLOP/s at ``flops`` a step, and whether that is within the measured sizes."""
    if flops <= points[0].flops_per_step:
        return points[0].rate, flops == points[0].flops_per_step
    for left, right in pairwise(points):
        if flops <= right.flops_per_step:
            span = math.log(right.flops_per_step / left.flops_per_step)
            part = math.log(flops / left.flops_per_step) / span if span else 1.0
            return left.rate ** (1 - part) * right.rate**part, True
    return points[-1].rate, False


def table_rate(device: Device) -> Rate | None:
    """A card's rate from its printed TFLOPS and a stated utilisation; None where none is printed.

    Peak in bf16 is that of FP16 (the same width), else half of BLOCKFP8's.
    """
    if device.utilisation is None:
        return None
    peak, basis = device.tflops.get("fp16"), "printed FP16"
    if peak is None:
        block = device.tflops.get("blockfp8")
        if block is None:
            return None
        peak, basis = block * _BF16_OF_BLOCKFP8, "half of the printed BLOCKFP8"
    low, likely, high = (part * peak * 1e12 for part in device.utilisation)
    return Rate(
        flops_per_s=likely,
        low=low,
        high=high,
        kind="estimate",
        source=(
            f"{peak:g} TFLOPS ({basis}) × {device.utilisation[1]:.0%} used: "
            f"{device.utilisation_source}"
        ),
    )


def device_rate(
    device: Device, calibration: Calibration | None, spec: ModelSpec, run: RunSpec
) -> Rate | None:
    """The best rate that is known for ``device``: measured where it was, else from the table."""
    if device.kind == "card":
        return table_rate(device)
    if calibration is None or calibration.device != device.name:
        return None
    return measured_rate(calibration, spec, run)


def predicted_step(
    spec: ModelSpec, run: RunSpec, device: Device, calibration: Calibration | None
) -> Estimate | None:
    """Time of one update on ``device``; None where nothing is known of its speed."""
    rate = device_rate(device, calibration, spec, run)
    return None if rate is None else step_time(spec, run, rate)


def measured_step(spec: ModelSpec, run: RunSpec, calibration: Calibration) -> Estimate | None:
    """Time of one update where ``calibration`` was measured; None without fitting points."""
    rate = measured_rate(calibration, spec, run)
    return None if rate is None else step_time(spec, run, rate)
