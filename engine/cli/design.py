"""What several commands share: the SPEC argument, and changes to the model and run it names."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_parameters
from engine.spec import ModelSpec, check, model_parameters
from engine.spec_file import Design, load_design

SPEC_HELP = (
    "a preset's name (list them with: engine presets), a design file (YAML or JSON), a published "
    "model's config.json, or a design pasted as one line, in quotes: 'trickster:1?…#…'"
)
_MODEL_PREFIX = "model."


class _Option(NamedTuple):
    """A short form of a setting of the run; without ``help`` its choices are told."""

    field: str
    metavar: str
    help: str = ""


_OPTIONS = {
    "corpus": _Option("corpus", "NAME|PATH", "a text of the catalogue, or yours"),
    "steps": _Option("steps", "N", "updates of the weights"),
    "batch": _Option("batch_size", "N", "sequences worked on at once"),
    "seq": _Option("seq_len", "N", "tokens in each sequence"),
    "accumulation": _Option("accumulation_steps", "N", "batches added up before an update"),
    "optimizer": _Option("optimizer", "O"),
    "lr": _Option("learning_rate", "X", "learning rate at its peak"),
    "seed": _Option("seed", "N", "start of all random numbers"),
    "precision": _Option("precision", "P"),
    "device": _Option("device", "NAME", "auto, cpu, cuda:0, mps or a card"),
    "card-backend": _Option("card_backend", "B", "on a card by: ttnn (one chip) or tt-train"),
    "compile": _Option("compile", "WHEN"),
}


def add_spec(parser: argparse.ArgumentParser) -> None:
    """The positional SPEC."""
    parser.add_argument("spec", metavar="SPEC", help=SPEC_HELP)


def add_changes(parser: argparse.ArgumentParser, options: Sequence[str]) -> None:
    """``--set KEY=VALUE``, and these of the short forms in _OPTIONS."""
    for name in options:
        option = _OPTIONS[name]
        choices = ", ".join(run_parameters()[option.field].choices or ())
        parser.add_argument(f"--{name}", metavar=option.metavar, help=option.help or choices)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="any setting of the run, such as gradient_checkpointing=on, or model.NAME=VALUE; "
        "may be given several times",
    )  # fmt: skip


def changed_design(arguments: argparse.Namespace, options: Sequence[str]) -> Design:
    """The design of SPEC with what ``add_changes`` added; its model is checked, its run is not.

    Raises SpecError for whatever cannot be read or built.
    """
    design = load_design(arguments.spec)
    of_model, of_run = split_settings(arguments.settings)
    model = check(changed_model(design.model, of_model))
    typed = {_OPTIONS[name].field: getattr(arguments, name.replace("-", "_")) for name in options}
    return Design(model, changed_run(design.run, typed, of_run), design.title)


def split_settings(settings: Sequence[str]) -> tuple[list[str], list[str]]:
    """``model.name=value`` settings, and the others, which are the run's."""
    of_model = [text for text in settings if text.startswith(_MODEL_PREFIX)]
    return of_model, [text for text in settings if not text.startswith(_MODEL_PREFIX)]


def changed_model(model: ModelSpec, settings: Sequence[str]) -> ModelSpec:
    """The design with ``model.name=value`` settings; key/value heads follow the heads.

    Raises SpecError for other settings, unknown names and values that cannot be read.
    """
    known = model_parameters()
    changes: dict[str, Value] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        key = name.removeprefix(_MODEL_PREFIX)
        if key == name or key not in known or not equals:
            raise SpecError(key[:60], "is not a parameter of a model, written model.name=value")
        changes[key] = known[key].parse(text)
    follows = "num_heads" in changes and model.num_kv_heads == model.num_heads
    if follows and "num_kv_heads" not in changes:
        changes["num_kv_heads"] = changes["num_heads"]
    return model.replace(**changes)


def changed_run(
    run: RunSpec, options: Mapping[str, str | None], settings: Sequence[str] = ()
) -> RunSpec:
    """``run`` with options (field: typed text, None where not given) and ``key=value`` settings.

    Raises SpecError for unknown keys and values that cannot be read.
    """
    known = run_parameters()
    changes: dict[str, Value] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise SpecError(key[:60], "a setting is written key=value")
        if key not in known:
            raise SpecError(key[:60], "is not a setting of a run (list them: engine parameters)")
        changes[key] = known[key].parse(text)
    for key, typed in options.items():
        if typed is not None:
            changes[key] = known[key].parse(typed)
    return run.replace(**changes)
