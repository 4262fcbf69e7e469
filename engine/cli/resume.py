"""``resume``: go on with a run, in the foreground."""

from __future__ import annotations

import argparse
import sys

from engine.cli.card_run import ready_card
from engine.cli.design import changed_run
from engine.parameter import SpecError
from engine.run_directory import RunDirectory
from engine.run_spec import RunSpec, check_run, run_parameters

# Settings of a run that may be others where it goes on: checkpoints are the same everywhere.
_MOVED = ("device", "precision", "card_backend")
HELP = "go on with a run from its newest checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and how far it shall go."""
    parser.add_argument("run_dir", metavar="DIR", help="folder of the run")
    parser.add_argument("--steps", metavar="N", help="total updates, those done included")
    parser.add_argument("--from-step", metavar="N", help="go back to the checkpoint of this step")
    parser.add_argument("--device", metavar="NAME", help="where: auto, cpu, cuda:0, mps or a card")
    parser.add_argument("--precision", metavar="P", help="go on in: fp32, bf16-mixed or bf16")
    parser.add_argument(
        "--card-backend", metavar="B", help="go on on a card by: ttnn (one chip) or tt-train"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")


def run(arguments: argparse.Namespace) -> int:
    """Train on."""
    parameter = run_parameters()["steps"]
    steps = None if arguments.steps is None else parameter.parse(arguments.steps)
    start = None if arguments.from_step is None else _step(arguments.from_step)
    directory = RunDirectory(arguments.run_dir)
    record = directory.record()
    moved = {name: getattr(arguments, name) for name in _MOVED}
    wanted = check_run(changed_run(record.run, moved), record.model)
    card = ready_card(record.model, wanted)
    if card is None and wanted != record.run:
        _check_torch(wanted)
    from engine.cli.foreground import run_here

    assert steps is None or isinstance(steps, int)
    status, failed = run_here(
        directory,
        "resume",
        resume_step=start,
        steps=steps,
        card=card,
        as_json=arguments.json,
        **moved,
    )
    if failed is not None:
        print(f"engine resume: {failed.message}. {failed.advice}".rstrip(". "), file=sys.stderr)
    return status


def _check_torch(run: RunSpec) -> None:
    """Raise SpecError unless torch can go on with the run there and in that precision."""
    from engine.training.preparation import choose_backend

    choose_backend(run)


def _step(text: str) -> int:
    if not text.isdecimal() or len(text) > 12:
        raise SpecError("from-step", f"{text[:40]!r} is not the number of a step")
    return int(text)
