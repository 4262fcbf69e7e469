"""A run that suits a computer: as many steps as fit a person's time, chosen from measured speed.

Plain numbers, no torch: the window proposes with it.
"""

from __future__ import annotations

from engine.cost.calibration import Calibration
from engine.cost.duration import run_time
from engine.cost.time import Estimate, measured_step
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

FIRST_LOOK_S = 60.0
# Fewer updates than this show no learning, however large their batches are.
LEAST_STEPS = 300
# The gradient of fewer sequences is mostly chance.
LEAST_BATCH = 4
_LEAST_VALIDATION_TOKENS, _MOST_VALIDATION_TOKENS = 2_000, 120_000
# A validation passes forward only: a third of the work of training on a token.
_FORWARD_SHARE = 1 / 3
_VALIDATIONS, _VALIDATION_SHARE = 10, 0.1
_TRIALS = 4


def proposed_run(
    spec: ModelSpec, run: RunSpec, calibration: Calibration, budget_s: float = FIRST_LOOK_S
) -> RunSpec | None:
    """``run`` with batch, steps and intervals that take about ``budget_s`` on this computer.

    As long as fewer than LEAST_STEPS updates would fit, accumulation is given up, then the batch
    is halved, though not below LEAST_BATCH. On a computer that is slower still the run takes
    longer than ``budget_s`` (``predicted_time`` says how long): fewer or smaller updates would
    show no learning. Neither batch nor steps ever exceed those of ``run``. Ten validations and
    samples are spread over the run, and validations take about a tenth of its time. None where
    nothing was measured in this precision.
    """
    tried, least = run, min(run.batch_size, LEAST_BATCH)
    while True:
        step = measured_step(spec, tried, calibration)
        if step is None:
            return None
        fitting = int(budget_s / step.seconds)
        if fitting >= LEAST_STEPS:
            break
        if tried.accumulation_steps > 1:
            tried = tried.replace(accumulation_steps=1)
        elif tried.batch_size > least:
            tried = tried.replace(batch_size=max(least, tried.batch_size // 2))
        else:
            break
    steps = min(run.steps, max(LEAST_STEPS, fitting))
    proposed = _with_steps(spec, run, tried, steps)
    for _ in range(_TRIALS):  # room for validation and samples: each trial comes nearer
        total = run_time(spec, proposed, step, calibration).seconds
        if total <= budget_s or proposed.steps <= LEAST_STEPS:
            break
        steps = max(LEAST_STEPS, int(proposed.steps * budget_s / total))
        proposed = _with_steps(spec, run, tried, steps)
    return proposed


def _with_steps(spec: ModelSpec, run: RunSpec, tried: RunSpec, steps: int) -> RunSpec:
    """``tried`` with so many steps and what is spread over them; ``run`` is what was asked for."""
    every = max(1, steps // _VALIDATIONS)
    return tried.replace(
        steps=steps,
        warmup_steps=min(run.warmup_steps, steps // 10),
        validate_every=every,
        sample_every=every,
        validation_tokens=affordable_validation_tokens(tried.tokens_per_step(spec) * steps),
    )


def predicted_time(spec: ModelSpec, run: RunSpec, calibration: Calibration) -> Estimate | None:
    """Time of the whole run here; None where nothing was measured in this precision."""
    step = measured_step(spec, run, calibration)
    return None if step is None else run_time(spec, run, step, calibration)


def affordable_validation_tokens(training_tokens: int) -> int:
    """Tokens to validate on, ten times and once before, in about a tenth of the training's time."""
    each = _VALIDATION_SHARE * training_tokens / _FORWARD_SHARE / (_VALIDATIONS + 1)
    return max(_LEAST_VALIDATION_TOKENS, min(_MOST_VALIDATION_TOKENS, int(each)))
