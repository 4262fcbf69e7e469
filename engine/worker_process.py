"""What every worker does before and after it trains, whatever it trains with. No torch, no numpy.

A worker is a process of its own that outlives whoever started it. It holds the run's lock, says
who it is, gives way to a window, obeys commands.jsonl and, on SIGTERM or SIGINT, saves a
checkpoint and ends; a second SIGINT ends it at once. Exit status: 0 the run finished or was
stopped, 1 it failed (the last event says why), 2 it could not begin.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

from engine.events import Failed, Finished
from engine.parameter import SpecError
from engine.run_directory import RunDirectory, RunDirectoryError, write_json
from engine.training.control import Control, obeying_signals
from engine.training.segments import Resumption, make_control, open_run

# A window next to it stays smooth; on an idle machine a nice process is as fast as any other.
NICENESS = 5
Session = Callable[[RunDirectory, Resumption, Control], Finished | Failed]


def run_worker(
    arguments: Sequence[str] | None, program: str, load_session: Callable[[], Session]
) -> int:
    """Run one segment of the run that the command line names; return the exit status.

    ``load_session`` may take seconds (torch): the run's lock and process id are on record before
    it is asked for the session.
    """
    options = _parser(program).parse_args(arguments)
    directory = RunDirectory(options.run_dir)
    try:
        directory.record()
        lock = directory.lock()
    except RunDirectoryError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return _work(directory, options, load_session)
    finally:
        lock.release()


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    parser.add_argument("run_dir")
    parser.add_argument("--from-commands", type=int, metavar="OFFSET")
    parser.add_argument("--resume-step", type=int, metavar="N")
    parser.add_argument("--steps", type=int, metavar="N")
    parser.add_argument("--device", metavar="NAME")
    parser.add_argument("--precision", metavar="P")
    parser.add_argument("--card-backend", metavar="B")
    return parser


def _work(
    directory: RunDirectory, options: argparse.Namespace, load_session: Callable[[], Session]
) -> int:
    _introduce(directory)
    _lower_priority()
    session = load_session()
    control = make_control(directory, options.from_commands)
    try:
        resumption = open_run(
            directory,
            resume_step=options.resume_step,
            steps=options.steps,
            device=options.device,
            precision=options.precision,
            card_backend=options.card_backend,
        )
    except (RunDirectoryError, SpecError) as error:
        print(error, file=sys.stderr)
        return 2
    with obeying_signals(control):
        end = session(directory, resumption, control)
    return 0 if isinstance(end, Finished) else 1


def _introduce(directory: RunDirectory) -> None:
    try:
        write_json(directory.worker_file, {"pid": os.getpid(), "started": time.time()})
    except OSError as error:
        print(f"cannot write {directory.worker_file}: {error}", file=sys.stderr)


def _lower_priority() -> None:
    if hasattr(os, "nice"):
        os.nice(NICENESS)
