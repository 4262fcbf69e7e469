"""``train``: learn a text with a design, in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.cli.card_run import ready_card
from engine.cli.design import add_spec, changed_model, changed_run, split_settings
from engine.devices.preflight import Preflight
from engine.launch import create_run, discard
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec, check
from engine.spec_file import load_design

HELP = "train a design on a text; Ctrl-C stops with a checkpoint"
_OPTIONS = {
    "corpus": "corpus", "steps": "steps", "batch": "batch_size", "seq": "seq_len",
    "lr": "learning_rate", "seed": "seed", "precision": "precision", "device": "device",
    "compile": "compile",
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """SPEC, the text, where to keep the run, and its settings."""
    add_spec(parser)
    parser.add_argument("--corpus", metavar="NAME|PATH", help="a text of the catalogue, or yours")
    parser.add_argument("--run", metavar="DIR", help="folder of the run (default: a new one)")
    parser.add_argument("--steps", metavar="N", help="updates of the weights")
    parser.add_argument("--batch", metavar="N", help="sequences worked on at once")
    parser.add_argument("--seq", metavar="N", help="tokens in each sequence")
    parser.add_argument("--lr", metavar="X", help="learning rate at its peak")
    parser.add_argument("--seed", metavar="N", help="start of all random numbers")
    parser.add_argument("--precision", metavar="P", help="fp32, bf16-mixed or bf16")
    parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda:0, mps or a card")
    parser.add_argument("--compile", metavar="WHEN", help="auto, on or off")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="any setting of the run, or model.NAME=VALUE; may be given several times",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")


def run(arguments: argparse.Namespace) -> int:
    """Create the run and train it here."""
    design = load_design(arguments.spec)
    of_model, of_run = split_settings(arguments.settings)
    model = check(changed_model(design.model, of_model))
    options = {field: getattr(arguments, option) for option, field in _OPTIONS.items()}
    settings = changed_run(design.run, options, of_run)
    settings = check_run(_shorter_warmup(settings, of_run), model)
    card = _check_corpus_and_device(model, settings)
    settings = settings.replace(corpus=_from_anywhere(settings.corpus))
    from engine.cli.foreground import run_here

    directory = create_run(
        model, settings, design.title, Path(arguments.run) if arguments.run else None
    )
    if not arguments.json:
        print(f"run: {directory.path}")
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
