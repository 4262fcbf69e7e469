"""The learning rate of every step: linear warm-up, then cosine decay or none.

Plain numbers, no torch: the window draws the curve with the very function that the run obeys.
Cosine decay as in Loshchilov and Hutter, "SGDR" (2017), without restarts.
"""

from __future__ import annotations

import math

from engine.run_spec import RunSpec


def learning_rate(run: RunSpec, step: int) -> float:
    """The rate of the update that follows after ``step`` earlier ones (0 ≤ step < run.steps).

    Warm-up of w steps uses 1/w, 2/w … w/w of the peak, so no update is wasted on a rate of zero.
    Cosine decay starts from the peak at step w and the last update of the run, number
    ``run.steps``, has exactly ``min_lr_ratio`` of the peak. Beyond the run the final rate stays.
    """
    peak = run.learning_rate
    if step < run.warmup_steps:
        return peak * (step + 1) / run.warmup_steps
    if run.schedule == "constant":
        return peak
    decay_steps = run.steps - 1 - run.warmup_steps
    progress = min(1.0, (step - run.warmup_steps) / decay_steps) if decay_steps > 0 else 1.0
    falling = 0.5 * (1.0 + math.cos(math.pi * progress))
    return peak * (run.min_lr_ratio + (1.0 - run.min_lr_ratio) * falling)
