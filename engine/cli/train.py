"""``train``: learn a text with a design, in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.cli.card_run import ready_card, suited
from engine.cli.design import add_changes, add_spec, changed_design
from engine.devices.preflight import Preflight
from engine.launch import create_run, discard
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec

HELP = "train a design on a text; Ctrl-C stops with a checkpoint"
_OPTIONS = ("corpus", "steps", "batch", "seq", "lr", "seed", "precision", "device",
            "card-backend", "compile")  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """SPEC, the text, where to keep the run, and its settings."""
    add_spec(parser)
    parser.add_argument("--run", metavar="DIR", help="folder of the run (default: a new one)")
    add_changes(parser, _OPTIONS)
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")


def run(arguments: argparse.Namespace) -> int:
    """Create the run and train it here."""
    model, settings, title = changed_design(arguments, _OPTIONS)
    settings, note = suited(arguments, settings)
    settings = check_run(_shorter_warmup(settings, arguments.settings), model)
    card = _check_corpus_and_device(model, settings)
    settings = settings.replace(corpus=_from_anywhere(settings.corpus))
    from engine.cli.foreground import run_here

    directory = create_run(model, settings, title, Path(arguments.run) if arguments.run else None)
    if not arguments.json:
        print(f"run: {directory.path}")
        if note:
            print(note)
    try:
        status, failed = run_here(directory, "train", card=card, as_json=arguments.json)
    except BaseException:
        if not directory.events_file.exists():
            discard(directory)
        raise
    if failed is not None:
        discard(directory)
        print(f"engine train: {failed.message}. {failed.advice}".rstrip(". "), file=sys.stderr)
    return status


def _shorter_warmup(settings: RunSpec, typed: list[str]) -> RunSpec:
    """A warm-up that nobody typed gives way to a short run: a tenth of it at most."""
    if any(text.startswith("warmup_steps=") for text in typed):
        return settings
    return settings.replace(warmup_steps=min(settings.warmup_steps, settings.steps // 10))


def _from_anywhere(corpus: str) -> str:
    """A file or folder by its whole path: a worker, and whoever resumes, may be elsewhere."""
    from engine.data.catalogue import catalogue

    named = any(entry.name == corpus for entry in catalogue())
    return corpus if named else str(Path(corpus).expanduser().resolve())


def _check_corpus_and_device(model: ModelSpec, settings: RunSpec) -> Preflight | None:
    """Say at once, before anything is made, that a text, device or precision is not to be had.

    Returns the checklist of a card that is ready; None where torch trains.
    """
    card = ready_card(model, settings)
    from engine.data.corpora import check_corpus_name

    check_corpus_name(settings.corpus)
    if card is None:
        from engine.training.preparation import choose_backend

        choose_backend(settings)
    return card
