"""Where a segment of a run begins, before anything of it is loaded. Neither torch nor numpy."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.events import Started, parse_line
from engine.going_on import going_on, steps_problem
from engine.run_directory import LineReader, RequestReader, RunDirectory, RunDirectoryError
from engine.training.checkpoint_folder import clear_leftovers, newest_step
from engine.training.control import Control


@dataclass(frozen=True)
class Resumption:
    """Where this segment goes on: which one it is, and from which checkpoint (None: the start)."""

    segment: int
    step: int | None


def open_run(
    directory: RunDirectory, *, resume_step: int | None = None, steps: int | None = None,
    device: str | None = None, precision: str | None = None, card_backend: str | None = None,
) -> Resumption:  # fmt: skip
    """Decide where to go on, extend the run to ``steps``, move it to another ``device``,
    ``precision`` or ``card_backend`` (checkpoints are fp32 in all of them).

    The caller holds the run's lock.

    Nothing is recorded yet: a request that cannot be met raises RunDirectoryError or SpecError
    and leaves the run as it is.
    """
    record = directory.record()
    clear_leftovers(directory)
    resumption = next_segment(directory, resume_step)
    run = going_on(
        record.run, steps=steps, device=device, precision=precision, card_backend=card_backend
    )
    too_few = steps_problem(resumption.step, run.steps)
    if too_few is not None:
        raise too_few
    if run != record.run:
        directory.write_record(replace(record, run=run))
    return resumption


def next_segment(directory: RunDirectory, resume_step: int | None = None) -> Resumption:
    """Where the run would go on: from its newest checkpoint, or the one of ``resume_step``.

    Only reads. Raises RunDirectoryError where there is no checkpoint of that step.
    """
    starts = _starts(directory)
    step = resume_step
    if step is None and starts:
        step = newest_step(directory, starts[-1].segment, starts[-1].step)
    elif step is not None and step not in directory.checkpoint_steps():
        there = ", ".join(f"{s:,}" for s in directory.checkpoint_steps()) or "none"
        raise RunDirectoryError(f"there is no checkpoint of step {step:,} (there are: {there})")
    return Resumption(max((start.segment for start in starts), default=0) + 1, step)


def _starts(directory: RunDirectory) -> list[Started]:
    """All beginnings of segments; other lines of a log that may be long are not even parsed."""
    reader, found = LineReader(directory.events_file), []
    while lines := reader.lines():
        events = (parse_line(line) for line in lines if b'"started"' in line)
        found += [event for event in events if isinstance(event, Started)]
    return found


def make_control(directory: RunDirectory, commands_offset: int | None) -> Control:
    """A control that obeys the commands sent after ``commands_offset`` (None: from now on)."""
    offset = directory.commands_size() if commands_offset is None else commands_offset
    return Control(RequestReader(directory.commands_file, offset))
