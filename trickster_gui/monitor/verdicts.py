"""What the curves mean, in words: is the model still learning, or learning by heart?"""

from __future__ import annotations

import numpy as np

from trickster_gui.monitor.history import History

# Validation must be this much above its best, twice in a row, before anything is said: single
# measurements scatter by a few tenths of a percent.
_MARGIN = 0.005
_IN_A_ROW = 2


def rising_validation(history: History) -> str | None:
    """A sentence where the validation loss has been rising since its best; None where it is not.

    Overfitting is said only where the training loss kept falling meanwhile.
    """
    steps, losses = history.validations("step"), history.validations("loss")
    best = history.best
    if best is None or len(losses) < _IN_A_ROW + 1:
        return None
    recent = losses[-_IN_A_ROW:]
    if steps[-_IN_A_ROW] <= best.step or not (recent > best.loss * (1 + _MARGIN)).all():
        return None
    figures = f"validation {best.loss:.3f} → {losses[-1]:.3f} since step {best.step:,}"
    if _training_fell(history, best.step):
        return (
            f"Overfitting since step {best.step:,}: {figures} while training still falls. The "
            "model learns its text by heart; stop here, or use more text or dropout."
        )
    return f"Getting worse: {figures}. A lower learning rate may help."


def _training_fell(history: History, since_step: int) -> bool:
    parts = [segment.steps.column("loss")[: segment.live_steps()] for segment in history.segments]
    at = [segment.steps.column("step")[: segment.live_steps()] for segment in history.segments]
    steps, losses = np.concatenate(at), np.concatenate(parts)
    index = int(np.searchsorted(steps, since_step))
    window = max(min(50, (len(losses) - index) // 2), 1)
    before, after = losses[max(index - window, 0) : index + 1], losses[-window:]
    if not np.isfinite(before).any() or not np.isfinite(after).any():
        return False
    return bool(np.nanmean(after) < np.nanmean(before))


def broken_numbers(history: History) -> str | None:
    """A sentence where the loss of the latest step is not a number any more."""
    last = history.last_step
    if last is None or np.isfinite(last.loss):
        return None
    return (
        f"The loss is not a number since about step {last.step:,}: the run has diverged. Stop it, "
        "lower the learning rate or lengthen the warm-up, and train again."
    )
