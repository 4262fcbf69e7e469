"""How long training takes: from what was measured on this computer, else from a card's table.

A rate is never exact: every estimate has a low and a high end, and says what it is based on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from engine.cost.calibration import Calibration, Speed
from engine.cost.card_operations import operations_of_update
from engine.cost.chips import as_used
from engine.cost.experience import Drawn, Lesson, cost_of, experience, lessons
from engine.cost.flops import flops_per_token, recomputed_flops_per_token
from engine.cost.step_work import Work, optimizer_is_known, step_work
from engine.devices.card import Device
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

# A range shall hold nine of ten designs. Those that calibration leaves out once are much like those
# it keeps, others are missed by more: so many times the typical miss was measured to be enough.
# Never less than steps of one and the same design differ by from day to day, which is all that is
# open where it was trained here.
_NINE_OF_TEN, _LEAST_WIDTH, _STEADY = 3.2, 0.08, 0.06
# Twice the threads do 2 ** 0.9 times the work, and one thread alone launches in 0.4 of the time.
# Roughly: from prices with two threads, one thread was foretold within 10 % for steps of half a
# second and up to half as long again as it took for steps of 20 ms, which hardly share anything.
_SHARING, _ALONE = 0.9, 0.4
# Calibration is called disturbed from this part of its threads being wanted by other programs.
_DISTURBED = 0.1
# Widths that are added (as logarithms): for each e-fold that a step is larger than the largest
# that was measured, for each e-fold of other threads, for an optimizer that nobody measured.
_BEYOND, _OTHER_THREADS, _UNKNOWN_OPTIMIZER = 0.05, 0.3, 0.1
# On Wormhole dense bf16 runs at half the rate of BLOCKFP8; where only that is printed (Blackhole)
# the same is taken.
_BF16_OF_BLOCKFP8 = 0.5


@dataclass(frozen=True)
class Rate:
    """FLOP/s of training on a card, with the ends of the range it lies in."""

    flops_per_s: float
    low: float
    high: float
    source: str


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
    seq_len = run.sequence_length(spec)
    work = float(flops_per_step(spec, run))
    if run.gradient_checkpointing:
        work += recomputed_flops_per_token(spec, seq_len) * run.tokens_per_step(spec)
    return Estimate(
        seconds=work / rate.flops_per_s,
        low=work / rate.high,
        high=work / rate.low,
        source=rate.source,
    )


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
        source=(
            f"{peak:g} TFLOPS ({basis}) × {device.utilisation[1]:.0%} used: "
            f"{device.utilisation_source}"
        ),
    )


def predicted_step(
    spec: ModelSpec, run: RunSpec, device: Device, calibration: Calibration | None
) -> Estimate | None:
    """Time of one update on ``device``; None where nothing is known of its speed."""
    if device.kind == "card":
        rate = table_rate(as_used(device, run))
        return None if rate is None else _with_host(step_time(spec, run, rate), spec, run, device)
    if calibration is None or calibration.device != device.name:
        return None
    return measured_step(spec, run, calibration)


def _with_host(computing: Estimate, spec: ModelSpec, run: RunSpec, device: Device) -> Estimate:
    """The step of our graph: the host starts its operations while the card computes, so that the
    longer of the two is what it takes. tt-train's operations are not counted."""
    if device.host_operation_s is None or run.card_backend != "ttnn":
        return computing
    number = operations_of_update(spec, run)
    low, likely, high = (number * seconds for seconds in device.host_operation_s)
    if high <= computing.low:
        return computing
    return replace(
        computing,
        seconds=max(computing.seconds, likely),
        low=max(computing.low, low),
        high=max(computing.high, high),
        source=f"{computing.source}. {number:,} operations a step: {device.host_operation_source}",
    )


def measured_step(spec: ModelSpec, run: RunSpec, calibration: Calibration) -> Estimate | None:
    """Usual time of one update where ``calibration`` was measured; None without prices for it.

    It is the median over some dozens of steps that nothing else on the machine disturbs, without
    validation, samples and checkpoints. Each kind of work is counted and priced; then the sum is
    drawn towards what runs of similar designs took (engine.cost.experience), and a design that
    was trained here takes what it took.
    """
    speed = calibration.speed(run.precision, run.threads)
    if speed is None:
        return None
    work = step_work(spec, run, calibration.device)
    threads = _threads(run, speed, calibration)
    prices, known = _known(calibration, speed, threads)
    priced = cost_of(work, prices)
    drawn = experience(work, known)
    if drawn.same:
        seconds, width = drawn.seconds, max(_STEADY, drawn.spread)
    else:
        seconds = priced * math.exp(drawn.shift)
        width = _width(speed, drawn)
    doubts = [] if drawn.same else _doubts(run, speed, threads, priced)
    width += sum(doubt.width for doubt in doubts)
    return Estimate(
        seconds=seconds,
        low=seconds * math.exp(-width),
        high=seconds * math.exp(width),
        kind="estimate" if any(doubt.guess for doubt in doubts) else "measured",
        source=_source(speed, drawn, doubts),
    )


class _Doubt(NamedTuple):
    """A reason to be less sure: by how much the range widens, in words, and whether a guess."""

    width: float
    words: str
    guess: bool = True


def _threads(run: RunSpec, speed: Speed, calibration: Calibration) -> int:
    """Threads that the run will really compute with; 0 on a GPU."""
    if run.threads is None or calibration.device != "cpu":
        return speed.threads
    cores = calibration.machine.get("cores")
    return min(run.threads, cores) if isinstance(cores, int) else run.threads


def _known(calibration: Calibration, speed: Speed, threads: int) -> tuple[Work, tuple[Lesson, ...]]:
    """Prices with so many threads, and what runs with them teach: worked out once."""
    key = (speed.precision, speed.threads, threads)
    if key not in calibration.memo:
        prices = speed.prices if threads == speed.threads else _scaled(speed, threads)
        runs = calibration.runs_like(speed.precision, threads)
        calibration.memo[key] = prices, lessons(runs, prices)
    found: tuple[Work, tuple[Lesson, ...]] = calibration.memo[key]
    return found


def _scaled(speed: Speed, threads: int) -> Work:
    """Prices with other ``threads`` than were measured: work is shared, launching is not.

    One thread alone wakes no others, and launching costs it less.
    """
    factor = (speed.threads / threads) ** _SHARING
    scaled = Work(*(price * factor for price in speed.prices))
    operations, waking = speed.prices.operations, speed.prices.shared_operations
    if threads == 1:
        operations, waking = _ALONE * operations, 0.0
    return scaled._replace(operations=operations, shared_operations=waking)


def _width(speed: Speed, drawn: Drawn) -> float:
    """Half of the range, as a logarithm; a run nearby halves what the prices leave open."""
    return max(_LEAST_WIDTH, _NINE_OF_TEN * speed.spread * (1 - drawn.nearness / 2))


def _doubts(run: RunSpec, speed: Speed, threads: int, seconds: float) -> list[_Doubt]:
    found = []
    if speed.largest_s and seconds > speed.largest_s:
        beyond = _BEYOND * math.log(seconds / speed.largest_s)
        found.append(_Doubt(beyond, "this one is larger", guess=False))
    if speed.contested >= _DISTURBED:  # at worst they took turns with it all the time
        width = math.log1p(speed.contested)
        found.append(_Doubt(width, "other programs were busy meanwhile, so it may be faster"))
    if threads != speed.threads:
        apart = _OTHER_THREADS * abs(math.log(threads / speed.threads))
        found.append(_Doubt(apart, f"they were measured with {speed.threads} threads"))
    if not optimizer_is_known(run):
        found.append(_Doubt(_UNKNOWN_OPTIMIZER, f"{run.optimizer} was not measured"))
    return found


def _source(speed: Speed, drawn: Drawn, doubts: list[_Doubt]) -> str:
    if drawn.same:
        return f"{_number(drawn.number, 'run')} of this very design on this computer"
    parts = [f"{_number(len(speed.steps), 'small design')} measured on this computer"]
    if drawn.number:
        parts.append(f"drawn towards {_number(drawn.number, 'similar run')}")
    return "; ".join([*parts, *(doubt.words for doubt in doubts)])


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
