"""One segment of a run from beginning to end, in this process: what worker and command line share.

This is the last line of defence: every error becomes a Failed event with advice, and its
traceback goes to the run's log.txt.
"""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass, replace

from engine.backends.torch_backend import is_out_of_memory
from engine.data.errors import CorpusCancelledError, CorpusError, TokenizerError
from engine.devices.contention import cpu_times
from engine.events import Failed, Finished, Preparing, Started, parse_line
from engine.parameter import SpecError
from engine.run_directory import LineReader, RequestReader, RunDirectory, RunDirectoryError
from engine.training.calibrate import remember_speed
from engine.training.checkpoint import clear_leftovers, load_checkpoint, newest_step
from engine.training.control import Control
from engine.training.loop import DivergedError, Trainer
from engine.training.preparation import CancelledError, Prepared, prepare
from engine.training.progress import CheckpointError, Progress
from engine.training.recorder import Listener, Recorder

_MAX_MESSAGE = 2_000
# A run of fewer steps than this does not count for the speed of this computer.
_REMEMBERED_FROM = 20
_ANEW = "start the run again"


@dataclass(frozen=True)
class Resumption:
    """Where this segment goes on: which one it is, and from which checkpoint (None: the start)."""

    segment: int
    step: int | None


def open_run(
    directory: RunDirectory, *, resume_step: int | None = None, steps: int | None = None
) -> Resumption:
    """Decide where to go on and extend the run to ``steps``; the caller holds the run's lock.

    Nothing is recorded yet: a request that cannot be met raises RunDirectoryError or SpecError
    and leaves the run as it is.
    """
    record = directory.record()
    clear_leftovers(directory)
    starts = _starts(directory)
    step = resume_step
    if step is None and starts:
        step = newest_step(directory, starts[-1].segment, starts[-1].step)
    elif step is not None and step not in directory.checkpoint_steps():
        there = ", ".join(f"{s:,}" for s in directory.checkpoint_steps()) or "none"
        raise RunDirectoryError(f"there is no checkpoint of step {step:,} (there are: {there})")
    total = steps or record.run.steps
    if step is not None and step >= total:
        raise SpecError(
            "steps",
            f"{step:,} steps are done already: ask for more than {step:,}",
            {"steps": 2 * step or 1},
        )
    if total != record.run.steps:
        run = record.run.replace(steps=total)
        if run.warmup_steps > total:
            run = run.replace(warmup_steps=total // 10)
        directory.write_record(replace(record, run=run))
    return Resumption(max((start.segment for start in starts), default=0) + 1, step)


def _starts(directory: RunDirectory) -> list[Started]:
    """All beginnings of segments; other lines of a log that may be long are not even parsed."""
    reader, found = LineReader(directory.events_file), []
    while lines := reader.lines():
        events = (parse_line(line) for line in lines if b'"started"' in line)
        found += [event for event in events if isinstance(event, Started)]
    return found


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
        _log_traceback(directory)
        step = trainer.progress.step if trainer is not None else resumption.step or 0
        return failure(error, step, directory)
    return finished


def _log_traceback(directory: RunDirectory) -> None:
    text = traceback.format_exc()
    try:
        with directory.log_file.open("a", encoding="utf-8", errors="replace") as log:
            log.write(text)
    except OSError:  # a full disk: whoever started this process may still read it
        print(text, file=sys.stderr)


def restore(prepared: Prepared, directory: RunDirectory, resumption: Resumption) -> Progress:
    """Weights, optimizer, random numbers and progress of the checkpoint to go on from."""
    parts = prepared.parts
    if resumption.step is None:
        return Progress(segment=resumption.segment, compile_from=prepared.compile_from)
    folder = directory.checkpoint_path(resumption.step)
    progress = load_checkpoint(folder, parts.learner)
    try:
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
    if isinstance(error, CheckpointError):
        return Failed(str(error), _after_bad_checkpoint(step, directory), step)
    if isinstance(error, (CorpusError, TokenizerError, RunDirectoryError)):
        return Failed(str(error), "Correct that and start the run again", step)
    if is_out_of_memory(error):
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


def make_control(directory: RunDirectory, commands_offset: int | None) -> Control:
    """A control that obeys the commands sent after ``commands_offset`` (None: from now on)."""
    offset = directory.commands_size() if commands_offset is None else commands_offset
    return Control(RequestReader(directory.commands_file, offset))
