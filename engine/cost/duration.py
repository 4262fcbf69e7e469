"""How long a whole run takes: its updates, and what it does between them.

Validation and samples are a tenth of most runs and can be half of a short one, so a time without
them would be missed by every run.
"""

from __future__ import annotations

from dataclasses import replace

from engine.cost.calibration import Calibration
from engine.cost.passes import OWN_PROMPTS, SAMPLES_AT_LEAST_S, SAMPLES_SHARE
from engine.cost.time import Estimate, measured_step
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

# A validation passes forward only, a third of the work of learning, in batches that are as large
# as is fast: measured was a quarter for the smallest designs, and a third at most.
_VALIDATION_SHARE, _VALIDATION_LEAST, _VALIDATION_MOST = 0.28, 0.2, 0.34
# A sample's token launches what a forward pass of one token does.
_ONE_TOKEN_SHARE = 1 / 3


def run_time(
    spec: ModelSpec, run: RunSpec, step: Estimate, calibration: Calibration | None
) -> Estimate:
    """Time of all of a run's updates of ``step`` each, of its validations and samples.

    Reading the text, checkpoints, and stopping early are left out. ``calibration`` is that of the
    computer that trains; of a card, where there is none, nothing is known of one token alone, so
    samples count at the high end only.
    """
    token_s = 0.0
    if calibration is not None:
        one = run.replace(batch_size=1, accumulation_steps=1, seq_len=1)
        token = measured_step(spec, one, calibration)
        token_s = 0.0 if token is None else _ONE_TOKEN_SHARE * token.seconds
    return with_records(spec, run, step, token_s)


def with_records(spec: ModelSpec, run: RunSpec, step: Estimate, token_s: float) -> Estimate:
    """The run's time where an update takes ``step`` and a sample's token ``token_s`` seconds."""
    seq_len = run.sequence_length(spec)
    each = max(1, run.validation_tokens // seq_len) * seq_len
    read = validations(run) * each / run.tokens_per_step(spec)
    writings = _writings(run)
    interval = min(run.sample_every or run.steps, run.steps)
    cut = max(SAMPLES_AT_LEAST_S, SAMPLES_SHARE * interval * step.seconds)
    prompts = len(run.prompts)
    ends, between = (prompts, prompts) if prompts else (OWN_PROMPTS, 1)
    a_text = run.sample_tokens * token_s
    written = min(2, writings) * min(ends * a_text, cut)
    written += max(0, writings - 2) * min(between * a_text, cut)
    updates = step.times(run.steps)
    return replace(
        updates,
        seconds=updates.seconds + _VALIDATION_SHARE * read * step.seconds + written,
        low=updates.low + _VALIDATION_LEAST * read * step.low,
        high=updates.high
        + _VALIDATION_MOST * read * step.high
        + max(2 * written, SAMPLES_SHARE * updates.high),
    )


def validations(run: RunSpec) -> int:
    """How often a run measures itself on text it does not learn; at intervals also before all."""
    return 1 + (1 + (run.steps - 1) // run.validate_every if run.validate_every else 0)


def _writings(run: RunSpec) -> int:
    """How often a run writes samples: before, at its end, and between at intervals."""
    return 2 + ((run.steps - 1) // run.sample_every if run.sample_every else 0)
