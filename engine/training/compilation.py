"""torch.compile: when it pays, and what happens where there is no compiler.

Compiled code rounds differently, so the step from which it computes is part of the run's record:
a resumed run compiles at the same step as the one that was never interrupted.
"""

from __future__ import annotations

import torch

from engine.models.chunked_loss import chunked_cross_entropy
from engine.run_spec import RunSpec
from engine.training.update import Batch, Learner

# Compiling takes half a minute on a small CPU and wins some 7 % of each step there, more on a
# GPU: runs shorter than these (seconds, predicted) would only lose by it.
_WORTH_FROM_S = {"cpu": 1800.0, "cuda": 300.0}
# The first steps run uncompiled: they are seen at once, and memory is measured on them.
FIRST_EAGER_STEPS = 2


def compile_from(run: RunSpec, device_type: str, predicted_step_s: float | None) -> int | None:
    """The step from which the run shall compute compiled; None: never."""
    if run.compile == "off":
        return None
    if run.compile == "on":
        return FIRST_EAGER_STEPS
    worth_from_s = _WORTH_FROM_S.get(device_type)
    if worth_from_s is None or predicted_step_s is None:
        return None
    return FIRST_EAGER_STEPS if predicted_step_s * run.steps >= worth_from_s else None


def compile_learner(learner: Learner, batch: Batch) -> str:
    """Let ``learner`` compute compiled from now on; return why that failed, "" if it did not.

    Compiles by a trial run of ``batch``, whose gradient is thrown away. A loss in chunks stays
    as it is: its loop would be compiled once for every chunk.
    """
    import torch._inductor.config as inductor

    inductor.compile_threads = 1  # in this process: no pool of compiler processes is left behind
    alone = torch.compiler.disable(chunked_cross_entropy)  # type: ignore[no-untyped-call]
    learner.model.chunked_loss = alone
    compiled = torch.compile(learner.model, dynamic=False)
    learner.forward = compiled
    try:
        learner.gradients([batch], 1)
    except (RuntimeError, OSError, ImportError) as error:
        learner.forward = learner.model
        return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    finally:
        learner.masters.clear_gradients()
    return ""
