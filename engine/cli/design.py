"""What several commands share: the SPEC argument, and changes to the run it comes with."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_parameters

SPEC_HELP = (
    "a preset's name (list them with: engine presets), a design file (YAML or JSON), a published "
    "model's config.json, or a pasted design line"
)


def add_spec(parser: argparse.ArgumentParser) -> None:
    """The positional SPEC."""
    parser.add_argument("spec", metavar="SPEC", help=SPEC_HELP)


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
