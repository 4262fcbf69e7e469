"""``params``: every parameter of a design, exactly."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence

from engine.cli.design import add_spec, changed_model
from engine.cli.table import table
from engine.cost.claims import Checked, checked_claims, preset_like
from engine.cost.parameters import ParameterCount, count, formula
from engine.spec import ModelSpec, check
from engine.spec_file import load_design
from engine.words import exact_count, percent, short_count

HELP = "count the parameters of a design, exactly and by component"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """SPEC, changes to it, and --json."""
    add_spec(parser)
    parser.add_argument(
        "--set", action="append", default=[], metavar="model.NAME=VALUE", dest="settings",
        help="change a parameter of the design; may be given several times",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Print the count."""
    design = load_design(arguments.spec)
    spec = check(changed_model(design.model, arguments.settings))
    counted = count(spec)
    like = preset_like(spec)
    claims = checked_claims(like) if like is not None else ()
    if arguments.json:
        document = _document(counted, spec, design.title)
        print(json.dumps(document | {"claims": [_claim(claim) for claim in claims]}, indent=2))
    else:
        print(_report(counted, spec, design.title))
        if like is not None and claims:
            print(_checked(claims, like.printed_by))
    return 0


def _claim(claim: Checked) -> dict[str, object]:
    return {
        "figure": claim.figure,
        "printed": claim.printed,
        "exact": claim.exact.text,
        "value": claim.exact.value,
        "why": claim.why,
    }


def _checked(claims: Sequence[Checked], printed_by: str) -> str:
    """What the source prints beside what is exact, and below each why they differ."""
    rows = [[claim.figure, claim.printed, claim.exact.text] for claim in claims]
    header, rule, *lines = table(rows, "<<<", ("figure", "printed", "exact")).split("\n")
    said = [f"\nWhat {printed_by.lower()} prints, and what is exact\n", header, rule]
    for line, claim in zip(lines, claims, strict=True):
        why = textwrap.fill(claim.why, 92, initial_indent="    ", subsequent_indent="    ")
        said += [line, why]
    return "\n".join(said)


def _document(counted: ParameterCount, spec: ModelSpec, title: str) -> dict[str, object]:
    return {
        "title": title,
        "total": counted.total,
        "groups": counted.groups,
        "block": counted.block,
        "embedding": counted.embedding,
        "non_embedding": counted.non_embedding,
        "formulas": {group: formula(group, spec) for group in counted.groups},
        "weights": [
            {
                "name": weight.name,
                "group": weight.group,
                "shape": list(weight.shape),
                "copies": weight.copies,
            }
            for weight in counted.weights
        ],
    }


def _report(counted: ParameterCount, spec: ModelSpec, title: str) -> str:
    rows = [
        [group, exact_count(number), short_count(number), percent(number / counted.total),
         formula(group, spec)]
        for group, number in counted.groups.items()
    ]  # fmt: skip
    rows.append(["total", exact_count(counted.total), short_count(counted.total), "100 %", ""])
    block = sum(counted.block.values())
    tied = " (the head is the embedding matrix)" if spec.tied_embeddings else ""
    return "\n".join(
        (
            f"{title}: {exact_count(counted.total)} parameters{tied}",
            "",
            table(rows, "<>>><", ("component", "parameters", "short", "share", "formula")),
            "",
            f"one block of {spec.num_layers:,}: {exact_count(block)} ("
            + ", ".join(f"{group} {exact_count(n)}" for group, n in counted.block.items())
            + ")",
        )
    )
