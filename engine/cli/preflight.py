"""``preflight``: whether training on a Tenstorrent card could start, and what is missing."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from engine.cli.card_run import suited
from engine.cli.design import SPEC_HELP, add_changes, changed_design, changed_run
from engine.cost.card_fit import check_memory, chip_memory
from engine.cost.tt_train_memory import tt_train_memory
from engine.devices.card import card_name, chips_of
from engine.devices.check import Check
from engine.devices.interpreter import choose
from engine.devices.preflight import Preflight, design_checks, preflight
from engine.devices.tenstorrent import discover
from engine.parameter import SpecError
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec
from engine.words import binary_bytes

HELP = "check what training on a Tenstorrent card needs"
NOT_READY = 2
_OPTIONS = ("card-backend",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What shall be trained, the card, and a Python to check and remember."""
    parser.add_argument("spec", metavar="SPEC", nargs="?", help=f"check this too: {SPEC_HELP}")
    add_changes(parser, _OPTIONS)
    parser.add_argument("--device", metavar="NAME", help="a card: n150:0 (default: the first here)")
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="check this Python, and use it for this card and trainer from now on",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Print the checklist; return 0 where training could start, else 2."""
    device = card_name(arguments.device) if arguments.device is not None else _first_card()
    if not device:
        raise SpecError("device", f"{arguments.device[:40]!r} is not a Tenstorrent card")
    design = None if arguments.spec is None else _design(arguments, device)
    backend = _backend(arguments) if design is None else design[1].card_backend
    chosen = None if arguments.python is None else choose(device, Path(arguments.python), backend)
    report = preflight(device, backend=backend)
    if design is not None:
        report = dataclasses.replace(report, checks=(*report.checks, *_checks(*design[:2])))
    if arguments.json:
        print(json.dumps(_document(report), indent=2))
    else:
        print(report.text())
        if design is not None and design[2]:
            print(f"\n{design[2]}")
        if chosen is not None:
            print(f"\n{chosen.path} is used for {device} by {backend} from now on.")
    return 0 if report.ready else NOT_READY


def _design(arguments: argparse.Namespace, device: str) -> tuple[ModelSpec, RunSpec, str]:
    model, run, _ = changed_design(arguments, _OPTIONS)
    run, note = suited(arguments, run.replace(device=device))
    return model, check_run(run, model), note


def _backend(arguments: argparse.Namespace) -> str:
    """What shall train where no SPEC is named, whose other settings would be."""
    run = changed_run(RunSpec(), {"card_backend": arguments.card_backend}, arguments.settings)
    if run.replace(card_backend=RunSpec().card_backend) != RunSpec():
        raise SpecError("set", "settings but card_backend are a SPEC's: name one")
    return run.card_backend


def _checks(model: ModelSpec, run: RunSpec) -> tuple[Check, ...]:
    """Whether cards can train the design, and whether this one has the memory for it."""
    checks = design_checks(model, run)
    if any(check.state != "ok" for check in checks):
        return checks
    return (*checks, _counted(model, run) if run.card_backend == "ttnn" else _estimated(model, run))


def _counted(model: ModelSpec, run: RunSpec) -> Check:
    try:
        peak = check_memory(model, run)
    except SpecError as error:
        advice = f"Set {error.fix_text()}" if error.fix else "A smaller model fits"
        return Check("memory", "Memory", "missing", error.message, advice)
    said = f"{binary_bytes(peak)} of {binary_bytes(chip_memory(run.device))} on one chip"
    return Check("memory", "Memory", "ok", said)


def _estimated(model: ModelSpec, run: RunSpec) -> Check:
    """What tt-train takes is not counted by its operations: an estimate refuses nothing."""
    chips = chips_of(run.device)
    on_chip = run.replace(batch_size=run.batch_size // chips)
    peak, memory = tt_train_memory(model, on_chip).peak_bytes, chip_memory(run.device)
    each = "on one chip" if chips == 1 else f"on each of {chips} chips"
    said = f"about {binary_bytes(peak)} of {binary_bytes(memory)} {each}, an estimate"
    if peak <= memory:
        return Check("memory", "Memory", "ok", said)
    return Check("memory", "Memory", "unknown", said, "A smaller batch may be needed")


def _first_card() -> str:
    found = discover()
    for card in found.cards:
        if card.card is not None:
            return card.name
    raise SpecError(
        "device", "no Tenstorrent card is in this computer; name the one to check for: "
        "--device n150:0",
    )  # fmt: skip


def _document(report: Preflight) -> dict[str, object]:
    return {
        "device": report.device,
        "ready": report.ready,
        "summary": report.summary(),
        "python": None if report.interpreter is None else str(report.interpreter),
        "checks": [dataclasses.asdict(check) for check in report.checks],
    }
