"""Going on with a run, perhaps elsewhere: what it is then, and what is against that.

A checkpoint is the same wherever it was written, so a run may go on for longer, on another device,
in another precision and, on a card, by another trainer. Command line, worker and window ask here.
"""

from __future__ import annotations

from engine.cost.card_fit import card_problems
from engine.devices.card import card_name
from engine.parameter import SpecError
from engine.run_spec import RunSpec, run_problems
from engine.spec import ModelSpec

# Settings of a run that may be others where it goes on, besides its number of steps.
MOVED = ("device", "precision", "card_backend")


def going_on(
    run: RunSpec, *, steps: int | None = None, device: str | None = None,
    precision: str | None = None, card_backend: str | None = None,
) -> RunSpec:  # fmt: skip
    """The run as it goes on: with what is named here, else as it was.

    A warm-up that is longer than all steps becomes a tenth of them.
    """
    moved = run.replace(
        steps=steps or run.steps,
        device=device or run.device,
        precision=precision or run.precision,
        card_backend=card_backend or run.card_backend,
    )
    if moved.warmup_steps > moved.steps:
        moved = moved.replace(warmup_steps=moved.steps // 10)
    return moved


def steps_problem(done: int | None, total: int) -> SpecError | None:
    """Why a run that has done so many steps (None: it starts anew) cannot go on up to ``total``."""
    if done is None or done < total:
        return None
    message = f"{done:,} steps are done already: ask for more than {done:,}"
    return SpecError("steps", message, {"steps": 2 * done or 1})


def problems_of_going_on(model: ModelSpec, run: RunSpec, done: int | None) -> tuple[SpecError, ...]:
    """All that is known to be against going on as ``run``, without asking a device.

    A fix may be of a setting that can no longer be another one (those of MOVED and steps can).
    """
    too_few = steps_problem(done, run.steps)
    found = (*(() if too_few is None else (too_few,)), *run_problems(run, model))
    if found or not card_name(run.device):
        return found
    return card_problems(model, run)
