"""``resume``: go on with a run, in the foreground."""

from __future__ import annotations

import argparse
import json
import platform
import sys

from engine.cli.card_run import ready_card
from engine.cli.design import changed_run
from engine.data.moved_text import text_problem
from engine.devices.card import card_name
from engine.devices.preflight import Preflight
from engine.going_on import MOVED, going_on, steps_problem
from engine.parameter import SpecError
from engine.run_directory import RunDirectory, RunRecord
from engine.run_spec import RunSpec, check_run, run_parameters

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
    parser.add_argument(
        "--check", action="store_true", help="only say whether it could go on so; nothing starts"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")


def run(arguments: argparse.Namespace) -> int:
    """Train on."""
    parameter = run_parameters()["steps"]
    steps = None if arguments.steps is None else parameter.parse(arguments.steps)
    assert steps is None or isinstance(steps, int)
    start = None if arguments.from_step is None else _step(arguments.from_step)
    directory = RunDirectory(arguments.run_dir)
    record = directory.record()
    moved = {name: getattr(arguments, name) for name in MOVED}
    wanted = going_on(changed_run(record.run, moved), steps=steps)
    if arguments.check:
        return _say_whether(directory, record, wanted, start, as_json=arguments.json)
    card = _check(record, wanted)
    from engine.cli.foreground import run_here

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


def _check(record: RunRecord, wanted: RunSpec) -> Preflight | None:
    """The checklist of the card that it goes on on; None: torch trains. Raises SpecError where it
    cannot go on so."""
    check_run(wanted, record.model)
    card = ready_card(record.model, wanted)
    if card is None and any(getattr(wanted, name) != getattr(record.run, name) for name in MOVED):
        _check_torch(wanted)
    now = platform.python_version() if card is None else card.python_version
    elsewhere = text_problem(wanted.corpus, record.versions.get("python", ""), now)
    if elsewhere is not None:
        raise elsewhere
    return card


def _say_whether(
    directory: RunDirectory, record: RunRecord, wanted: RunSpec, start: int | None, *,
    as_json: bool,
) -> int:  # fmt: skip
    """Print whether the run could go on as ``wanted``, on one line; status 2: it could not."""
    directory.require_no_worker()
    from engine.training.segments import next_segment

    try:
        too_few = steps_problem(next_segment(directory, start).step, wanted.steps)
        if too_few is not None:
            raise too_few
        _check(record, wanted)
    except SpecError as error:
        if not as_json:
            raise
        problem = {"field": error.field, "message": error.message, "fix": dict(error.fix)}
        print(json.dumps({"possible": False, "problem": problem}))
        return 2
    print(json.dumps({"possible": True}) if as_json else _possible(wanted))
    return 0


def _possible(wanted: RunSpec) -> str:
    by = f" by {wanted.card_backend}" if card_name(wanted.device) else ""
    how = f"device {wanted.device}{by}, precision {wanted.precision}"
    return f"it can go on: {how}, up to step {wanted.steps:,}"


def _check_torch(run: RunSpec) -> None:
    """Raise SpecError unless torch can go on with the run there and in that precision."""
    from engine.training.preparation import choose_backend

    choose_backend(run)


def _step(text: str) -> int:
    if not text.isdecimal() or len(text) > 12:
        raise SpecError("from-step", f"{text[:40]!r} is not the number of a step")
    return int(text)
