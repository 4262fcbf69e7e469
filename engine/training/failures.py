"""What ends a run against its will, in plain words. Needs neither torch nor numpy."""

from __future__ import annotations

import math
import sys
import traceback

from engine.data.errors import CorpusError, TokenizerError
from engine.events import Failed
from engine.parameter import SpecError
from engine.run_directory import RunDirectory, RunDirectoryError
from engine.training.progress import CheckpointError

_MAX_MESSAGE = 2_000
_ANEW = "start the run again"


class DivergedError(Exception):
    """The loss or the gradient is no finite number any more."""

    def __init__(self, step: int, loss: float, grad_norm: float) -> None:
        what = f"the loss became {loss}" if not math.isfinite(loss) else "the gradient overflowed"
        super().__init__(f"{what} at step {step:,}")
        self.step, self.loss, self.grad_norm = step, loss, grad_norm


class CardError(Exception):
    """A card cannot be used, or computes what it should not; ``advice`` says what to do."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


def described_failure(
    error: Exception, step: int, directory: RunDirectory, *, out_of_memory: bool = False
) -> Failed:
    """What happened in plain words, and what to do about it.

    ``out_of_memory``: whether the device said by this error that its memory is full.
    """
    if isinstance(error, DivergedError):
        # Later ones belong to another branch of a run that was taken back.
        saved = [saved for saved in directory.checkpoint_steps() if saved < error.step]
        last = f"The checkpoint of step {saved[-1]:,} is good. " if saved else ""
        advice = (
            f"{last}Lower the learning rate (try a third), lengthen the warm-up, or set the "
            "gradient clip to 1"
        )
        return Failed(str(error), advice, error.step)
    if isinstance(error, SpecError):
        fix = error.fix_text()
        return Failed(f"{error.field}: {error.message}", f"Set {fix}" if fix else "", step)
    if isinstance(error, CardError):
        return Failed(str(error), error.advice, step)
    if isinstance(error, CheckpointError):
        return Failed(str(error), _after_bad_checkpoint(step, directory), step)
    if isinstance(error, (CorpusError, TokenizerError, RunDirectoryError)):
        return Failed(str(error), "Correct that and start the run again", step)
    if out_of_memory:
        return Failed(
            "out of memory",
            "Halve the batch size (accumulation 2 keeps the effective batch), shorten the "
            "sequences, or turn gradient checkpointing on",
            step,
        )
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return Failed(
            f"{error.strerror or error}{where}",
            f"Check the disk, then {'resume the run' if directory.checkpoint_steps() else _ANEW}",
            step,
        )
    return Failed(
        f"{type(error).__name__}: {error}"[:_MAX_MESSAGE],
        "This is a fault of the program: log.txt in the run's folder has the details. "
        + (
            "The run can be resumed from its last checkpoint"
            if directory.checkpoint_steps()
            else f"Nothing was saved yet: to try once more, {_ANEW}"
        ),
        step,
    )


def _after_bad_checkpoint(step: int, directory: RunDirectory) -> str:
    """Advice where the checkpoint of ``step`` could not be written or read."""
    if any(saved != step for saved in directory.checkpoint_steps()):
        return "Other checkpoints are kept: mend the disk, or go back to one of them"
    return f"There is no other checkpoint: mend the disk, then {_ANEW}"


def log_traceback(directory: RunDirectory) -> None:
    """Append the error that is being handled to the run's log.txt."""
    text = traceback.format_exc()
    try:
        with directory.log_file.open("a", encoding="utf-8", errors="replace") as log:
            log.write(text)
    except OSError:  # a full disk: whoever started this process may still read it
        print(text, file=sys.stderr)
