"""``parameters``: the declarations of all parameters, as documentation."""

from __future__ import annotations

import argparse
import dataclasses
import json
import textwrap

from engine.parameter import Parameter, Value, show
from engine.run_spec import RUN_GROUPS, RunSpec, run_parameters, run_to_dict
from engine.spec import GROUPS, ModelSpec, model_parameters, spec_to_dict

HELP = "explain every parameter of a model and every setting of a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--json only."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Print the declarations."""
    model, settings = spec_to_dict(ModelSpec()), run_to_dict(RunSpec())
    if arguments.json:
        document = {
            "model": _documents(model_parameters(), model),
            "run": _documents(run_parameters(), settings),
        }
        print(json.dumps(document, indent=2))
        return 0
    print("# Parameters of a model\n")
    print(_text(model_parameters(), model, GROUPS))
    print("\n# Settings of a run\n")
    print(_text(run_parameters(), settings, RUN_GROUPS))
    return 0


def _documents(
    parameters: dict[str, Parameter], defaults: dict[str, Value]
) -> list[dict[str, object]]:
    return [
        dataclasses.asdict(parameter) | {"name": name, "default": defaults[name]}
        for name, parameter in parameters.items()
    ]


def _text(
    parameters: dict[str, Parameter], defaults: dict[str, Value], groups: tuple[str, ...]
) -> str:
    sections = []
    for group in groups:
        entries = [
            _entry(name, parameter, defaults[name])
            for name, parameter in parameters.items()
            if parameter.group == group
        ]
        sections.append("\n\n".join((f"## {group}", *entries)))
    return "\n\n".join(sections)


def _entry(name: str, parameter: Parameter, default: Value) -> str:
    facts = [_range(parameter), f"default {_default(parameter, default)}"]
    head = f"{name} ({parameter.label}; {', '.join(fact for fact in facts if fact)})"
    return textwrap.fill(
        f"{head}: {parameter.help}", width=96, initial_indent="", subsequent_indent="    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _range(parameter: Parameter) -> str:
    if parameter.choices is not None:
        return " | ".join(parameter.choices)
    if parameter.kind == "flag":
        return "true | false"
    if parameter.minimum is None or parameter.maximum is None:
        return ""
    whole = parameter.kind == "integer"
    low, high = (int(v) if whole else v for v in (parameter.minimum, parameter.maximum))
    unit = f" {parameter.unit}" if parameter.unit else ""
    return f"{show(low)} … {show(high)}{unit}"


def _default(parameter: Parameter, default: Value) -> str:
    if default is None:
        return parameter.none_label
    if isinstance(default, bool):
        return "true" if default else "false"
    return show(default) if default != () else "none"
