"""What several commands share: the SPEC argument, and changes to the model and run it names."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_parameters
from engine.spec import ModelSpec, model_parameters

SPEC_HELP = (
    "a preset's name (list them with: engine presets), a design file (YAML or JSON), a published "
    "model's config.json, or a design pasted as one line, in quotes: 'trickster:1?…#…'"
)
_MODEL_PREFIX = "model."


def add_spec(parser: argparse.ArgumentParser) -> None:
    """The positional SPEC."""
    parser.add_argument("spec", metavar="SPEC", help=SPEC_HELP)


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
