"""``presets``: the designs to start from."""

from __future__ import annotations

import argparse
import json

from engine.cli.table import table
from engine.cost.claims import checked_claims
from engine.presets import Preset, load_presets
from engine.run_spec import run_to_dict
from engine.spec import spec_to_dict
from engine.words import exact_count

HELP = "list the designs to start from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--json only."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Print the presets."""
    presets = load_presets()
    if arguments.json:
        print(json.dumps([_document(preset) for preset in presets], indent=2))
        return 0
    rows = [
        [preset.id, "impossible" if preset.total is None else exact_count(preset.total),
         preset.description]
        for preset in presets
    ]  # fmt: skip
    print(table(rows, "<><", ("name", "parameters", "what it is")))
    return 0


def _document(preset: Preset) -> dict[str, object]:
    return {
        "id": preset.id,
        "title": preset.title,
        "description": preset.description,
        "source": preset.source,
        "total": preset.total,
        "printed_by": preset.printed_by,
        "claims": [
            {
                "figure": claim.figure,
                "printed": claim.printed,
                "exact": claim.exact.text,
                "value": claim.exact.value,
                "why": claim.why,
            }
            for claim in checked_claims(preset)
        ],
        "model": spec_to_dict(preset.model),
        "run": run_to_dict(preset.run),
    }
