"""The process that a run lives in: ``python -m engine.worker RUN_DIR``.

It goes on from the newest checkpoint, or starts from the beginning where there is none. It outlives
whoever started it, obeys commands.jsonl between steps, and on SIGTERM or SIGINT saves a
checkpoint and ends; a second SIGINT ends it at once. Exit status: 0 the run finished or was
stopped, 1 it failed (the last event says why), 2 it could not begin.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from engine.parameter import SpecError
from engine.run_directory import RunDirectory, RunDirectoryError, write_json

# A window next to it stays smooth; on an idle machine a nice process is as fast as any other.
_NICENESS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one segment; return the exit status."""
    options = _parser().parse_args(arguments)
    directory = RunDirectory(options.run_dir)
    try:
        directory.record()
        lock = directory.lock()
    except RunDirectoryError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return _work(directory, options)
    finally:
        lock.release()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="engine.worker", description=__doc__)
    parser.add_argument("run_dir")
    parser.add_argument("--from-commands", type=int, metavar="OFFSET")
    parser.add_argument("--resume-step", type=int, metavar="N")
    parser.add_argument("--steps", type=int, metavar="N")
    return parser


def _work(directory: RunDirectory, options: argparse.Namespace) -> int:
    _introduce(directory)
    _lower_priority()
    # torch takes seconds to import: the run's lock and process id are on record before that.
    from engine.events import Finished
    from engine.training.control import obeying_signals
    from engine.training.session import make_control, open_run, run_session

    control = make_control(directory, options.from_commands)
    try:
        resumption = open_run(directory, resume_step=options.resume_step, steps=options.steps)
    except (RunDirectoryError, SpecError) as error:
        print(error, file=sys.stderr)
        return 2
    with obeying_signals(control):
        end = run_session(directory, resumption, control)
    return 0 if isinstance(end, Finished) else 1


def _introduce(directory: RunDirectory) -> None:
    try:
        write_json(directory.worker_file, {"pid": os.getpid(), "started": time.time()})
    except OSError as error:
        print(f"cannot write {directory.worker_file}: {error}", file=sys.stderr)


def _lower_priority() -> None:
    if hasattr(os, "nice"):
        os.nice(_NICENESS)


if __name__ == "__main__":
    sys.exit(main())
