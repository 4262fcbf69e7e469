"""One segment of a run from beginning to end, in this process: what worker and command line share.

This is the last line of defence: every error becomes a Failed event with advice, and its
traceback goes to the run's log.txt.
"""

from __future__ import annotations

from dataclasses import replace

from engine.backends.torch_backend import is_out_of_memory
from engine.data.errors import CorpusCancelledError
from engine.devices.contention import cpu_times
from engine.events import Failed, Finished, Preparing
from engine.run_directory import RunDirectory
from engine.training.calibrate import remember_speed
from engine.training.checkpoint import load_checkpoint
from engine.training.control import Control
from engine.training.failures import described_failure, log_traceback
from engine.training.loop import Trainer
from engine.training.preparation import CancelledError, Prepared, prepare
from engine.training.progress import CheckpointError, Progress
from engine.training.recorder import Listener, Recorder
from engine.training.segments import Resumption, make_control, open_run

__all__ = ["Resumption", "failure", "make_control", "open_run", "restore", "run_session"]

# A run of fewer steps than this does not count for the speed of this computer.
_REMEMBERED_FROM = 20


def run_session(
    directory: RunDirectory,
    resumption: Resumption,
    control: Control,
    listener: Listener | None = None,
) -> Finished | Failed:
    """Prepare, train and record until the end; the caller holds the run's lock.

    Always returns the event that ended the segment, which is also the last in the record.
    """
    recorder = Recorder(directory, listener)
    try:
        end = _segment(directory, resumption, control, recorder)
        recorder(end, durable=True)
    finally:
        recorder.close()
    return end


def _segment(
    directory: RunDirectory, resumption: Resumption, control: Control, recorder: Recorder
) -> Finished | Failed:
    trainer: Trainer | None = None
    try:
        recorder(Preparing("starting"))
        prepared = prepare(directory, recorder, control)
        progress = restore(prepared, directory, resumption)
        started = replace(prepared.started, step=progress.step, segment=resumption.segment)
        recorder(started, durable=True)
        trainer = Trainer(prepared.parts, recorder, control, progress)
        began = cpu_times()
        finished = trainer.run()
        remember_speed(prepared.parts, trainer.median_step_s(_REMEMBERED_FROM), began)
    except (CancelledError, CorpusCancelledError):
        return Finished(resumption.step or 0, "stopped")
    except Exception as error:  # the last line of defence
        log_traceback(directory)
        step = trainer.progress.step if trainer is not None else resumption.step or 0
        return failure(error, step, directory)
    return finished


def restore(prepared: Prepared, directory: RunDirectory, resumption: Resumption) -> Progress:
    """Weights, optimizer, random numbers and progress of the checkpoint to go on from."""
    parts = prepared.parts
    if resumption.step is None:
        return Progress(segment=resumption.segment, compile_from=prepared.compile_from)
    folder = directory.checkpoint_path(resumption.step)
    progress = load_checkpoint(folder, parts.learner)
    try:
        if progress.random_states:  # a card's checkpoint has none: its dropout goes by the step
            parts.backend.set_random_state(progress.random_states)
    except ValueError as error:
        raise CheckpointError(f"{folder} cannot be used: {error}") from error
    patience_over = parts.run.patience and progress.validations_since_best >= parts.run.patience
    return progress.replace(
        segment=resumption.segment,
        validations_since_best=0 if patience_over else progress.validations_since_best,
    )


def failure(error: Exception, step: int, directory: RunDirectory) -> Failed:
    """What happened in plain words, and what to do about it."""
    full = is_out_of_memory(error)
    return described_failure(error, step, directory, out_of_memory=full)
