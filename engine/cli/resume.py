"""``resume``: go on with a run, in the foreground."""

from __future__ import annotations

import argparse
import sys

from engine.devices.preflight import require_ready
from engine.parameter import SpecError
from engine.run_directory import RunDirectory, RunRecord
from engine.run_spec import run_parameters

HELP = "go on with a run from its newest checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and how far it shall go."""
    parser.add_argument("run_dir", metavar="DIR", help="folder of the run")
    parser.add_argument("--steps", metavar="N", help="total updates, those done included")
    parser.add_argument("--from-step", metavar="N", help="go back to the checkpoint of this step")
    parser.add_argument("--device", metavar="NAME", help="go on there: auto, cpu, cuda:0 or mps")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")


def run(arguments: argparse.Namespace) -> int:
    """Train on."""
    parameter = run_parameters()["steps"]
    steps = None if arguments.steps is None else parameter.parse(arguments.steps)
    start = None if arguments.from_step is None else _step(arguments.from_step)
    directory = RunDirectory(arguments.run_dir)
    record = directory.record()
    require_ready(arguments.device or record.run.device)
    device = _device(arguments.device, record)
    from engine.cli.foreground import run_here

    assert steps is None or isinstance(steps, int)
    status, failed = run_here(
        directory,
        "resume",
        resume_step=start,
        steps=steps,
        device=device,
        as_json=arguments.json,
    )
    if failed is not None:
        print(f"engine resume: {failed.message}. {failed.advice}".rstrip(". "), file=sys.stderr)
    return status


def _device(name: str | None, record: RunRecord) -> str | None:
    """The device that was named, if a run can go on there."""
    if name is not None:
        from engine.training.preparation import choose_backend

        choose_backend(record.run.replace(device=name))
    return name


def _step(text: str) -> int:
    if not text.isdecimal() or len(text) > 12:
        raise SpecError("from-step", f"{text[:40]!r} is not the number of a step")
    return int(text)
