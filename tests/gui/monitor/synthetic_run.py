"""Realistic records of runs for the tests of the monitor: the shape of a small character model."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path

from engine.events import (
    Event,
    Failed,
    Finished,
    Paused,
    Preparing,
    Sample,
    Saved,
    Started,
    Step,
    Validation,
    Warned,
    to_line,
)
from engine.run_directory import RunDirectory, RunRecord
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

TOKENS_PER_STEP = 6_144
BEGIN = 1_763_800_000.0
STEP_S = 0.12
FLOORS = {"uniform": math.log(256), "1-gram": 3.327, "2-gram": 2.471, "3-gram": 1.912}
TEXTS = (
    "q\x00;Kz}w0~ 3Vn|e\nJ%x  tQ)m/7u'ar[d9 =oi Hh#2.-Ys{cX",
    "e  t    se\n   n  re  e   ti  e  o  s  f    n\n      t  re  se  ",
    "self re the conturn se (self, ind)\n        re selt.for in the\n",
    "def get_name(self, value):\n        if not self.name:\n            return valu",
    "def read(self, size=-1):\n    if size < 0:\n        return self._buffer.read()\n",
)
PROMPTS = ("def ", "import os\n")


def started(step: int, total: int, segment: int = 0, time: float = BEGIN) -> Started:
    return Started(
        step, total, segment, 804_096, "cpu", "fp32", TOKENS_PER_STEP, 2_900_000, 320_000, 256,
        FLOORS, {"peak_bytes": 39.2 * 2**20, "step_s": 0.118}, time,
    )  # fmt: skip


def loss_at(step: int, overfit_from: int | None = None) -> tuple[float, float]:
    """Training and validation loss without noise."""
    train = 1.35 + 4.2 * (1 + step / 14) ** -0.62
    validation = train + 0.03 + 0.10 * (1 - math.exp(-step / 900))
    if overfit_from is not None and step > overfit_from:
        train -= 0.35 * (1 - math.exp(-(step - overfit_from) / 900))
        validation += 0.25 * (1 - math.exp(-(step - overfit_from) / 900))
    return train, validation


def stretch(
    first: int, last: int, total: int, *, seed: int = 1, begin: float = BEGIN,
    overfit_from: int | None = None, every: int = 200, spike_at: int | None = None,
    nan_from: int | None = None,
) -> Iterator[Event]:  # fmt: skip
    """Events from after step ``first`` up to ``last``."""
    dice = random.Random(seed)
    best = math.inf
    for step in range(first, last + 1):
        now = begin + (step - first) * STEP_S
        train, validation = loss_at(step, overfit_from)
        if step > first:
            loss = train + dice.gauss(0.0, 0.05)
            if step == spike_at:
                loss += 4.0
            if nan_from is not None and step >= nan_from:
                loss = math.nan
            warm = min(1.0, step / 100)
            decay = 0.1 + 0.45 * (1 + math.cos(math.pi * step / total))
            speed = TOKENS_PER_STEP / STEP_S * dice.uniform(0.93, 1.05)
            yield Step(
                step, step * TOKENS_PER_STEP, loss, 1e-3 * warm * decay,
                0.45 + 2.5 / (1 + step / 20) + abs(dice.gauss(0.0, 0.06)),
                STEP_S, speed, int(41.3 * 2**20), now,
            )  # fmt: skip
        if step % every == 0 or step == last:
            yield Validation(
                step, step * TOKENS_PER_STEP, validation, 120_000, validation < best, now
            )
            best = min(best, validation)
            place = min(int(math.log2(1 + step / 25)), len(TEXTS) - 1)
            for prompt in PROMPTS:
                yield Sample(step, prompt, TEXTS[place], 100, 0.4, False, now)
        if step % 500 == 0 and step > first:
            yield Saved(step, f"checkpoints/step-{step:06d}", False, validation, now)


def scene(name: str, begin: float = BEGIN) -> list[Event]:
    """The record of a run in one of its states."""
    preparing = Preparing("Reading the text: Python's standard library", 0.62, begin - 3)
    begun: list[Event] = [preparing, started(0, 2_000, time=begin)]
    if name == "preparing":
        return [preparing]
    if name == "early":
        return [*begun, *stretch(0, 37, 2_000, begin=begin)]
    if name == "late":
        return [*begun, *stretch(0, 1_420, 2_000, begin=begin, spike_at=700)]
    if name == "paused":
        return [*begun, *stretch(0, 824, 2_000, begin=begin), Paused(824, begin + 824 * STEP_S)]
    if name == "finished":
        ended = begin + 2_000 * STEP_S
        return [
            *begun,
            *stretch(0, 2_000, 2_000, begin=begin),
            Finished(2_000, "completed", 1.72, 2_000, time=ended),
        ]
    if name == "overfit":
        return [*begun, *stretch(0, 1_800, 2_000, begin=begin, overfit_from=800)]
    if name == "failed":
        events = [*begun, *stretch(0, 612, 2_000, begin=begin, nan_from=600)]
        warning = Warned(
            "The gradient norm is not finite at step 600; the update was skipped.", 600
        )
        return [*events, warning, Failed(
            "The loss is not a number at step 612.",
            "Lower the learning rate (it was 0.001) or lengthen the warm-up, and train again.", 612,
        )]  # fmt: skip
    if name == "rewound":
        later = begin + 90_000
        return [
            *begun, *stretch(0, 1_100, 2_000, begin=begin), started(500, 2_000, 1, later),
            *stretch(500, 1_300, 2_000, seed=2, begin=later),
        ]  # fmt: skip
    assert name == "interrupted"
    return [*begun, *stretch(0, 731, 2_000, begin=begin)]


def write_run(path: Path, events: list[Event], title: str = "first-minute") -> RunDirectory:
    """A run directory with this record and no worker."""
    directory = RunDirectory(path)
    directory.create(
        RunRecord(ModelSpec(), RunSpec(), title, BEGIN, "python-stdlib", "0" * 64, "cpu", {})
    )
    directory.events_file.write_bytes(b"".join(map(to_line, events)))
    return directory
