"""Designs to start from: the lesson's, well-known models, and mistakes worth looking at."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.parameter import SpecError
from engine.resource_files import ResourceError, read_resource_yaml
from engine.run_spec import RunSpec, run_from_dict
from engine.spec import ModelSpec, spec_from_dict

_FILE = "presets.yaml"


@dataclass(frozen=True)
class Claim:
    """A figure that the source of a preset prints.

    Attributes:
        figure: what it is the number of.
        printed: the number as the source prints it.
        exact: name of the quantity that it ought to be (``engine.cost.claims.QUANTITIES``).
        why: one sentence on why the two differ; ``{name}`` stands for another quantity.
        model: the design that it is about, where that is not the preset's own.
        beside: the preset that it is compared with, for figures that compare.
    """

    figure: str
    printed: str
    exact: str
    why: str
    model: ModelSpec | None = None
    beside: str = ""


@dataclass(frozen=True)
class Preset:
    """A named design with a run that suits it.

    Attributes:
        id: what one types: nano-trickster.
        title, description: for people; the description is one sentence.
        source: where the design is from.
        model, run: the design. It may be impossible where the preset shows a mistake.
        total: its exact number of parameters; None for a design that cannot be built.
        printed_by: who prints the figures below, to begin a sentence with: The lesson.
        claims: the figures that the source prints, the most telling first.
    """

    id: str
    title: str
    description: str
    source: str
    model: ModelSpec
    run: RunSpec
    total: int | None
    printed_by: str = ""
    claims: tuple[Claim, ...] = ()


@lru_cache(maxsize=1)
def load_presets() -> tuple[Preset, ...]:
    """All presets, in the order they are offered. Raises ResourceError for a damaged file."""
    entries = read_resource_yaml(_FILE)
    try:
        presets = tuple(_preset(entry) for entry in entries)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResourceError(f"resources/{_FILE} is damaged: {error!r}") from error
    if len({preset.id for preset in presets}) != len(presets):
        raise ResourceError(f"resources/{_FILE} names a preset twice")
    return presets


def preset(name: str) -> Preset:
    """The preset called ``name``; raises SpecError with the closest names."""
    presets = {entry.id: entry for entry in load_presets()}
    if name in presets:
        return presets[name]
    raise SpecError("preset", f"{name[:60]!r} is not a preset{did_you_mean(name)}")


def did_you_mean(name: str) -> str:
    """The presets with the most similar names, as the end of a sentence; empty without any."""
    names = [entry.id for entry in load_presets()]
    close = difflib.get_close_matches(name[:60].lower(), names, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _preset(entry: Mapping[str, Any]) -> Preset:
    total = entry["total"]
    model = entry["model"]
    return Preset(
        id=str(entry["id"]),
        title=str(entry["title"]),
        description=str(entry["description"]),
        source=str(entry["source"]),
        model=spec_from_dict(model),
        run=run_from_dict(entry.get("run", {})),
        total=None if total is None else int(total),
        printed_by=str(entry.get("printed_by", "")),
        claims=tuple(_claim(claim, model) for claim in entry.get("claims", ())),
    )


def _claim(entry: Mapping[str, Any], model: Mapping[str, Any]) -> Claim:
    changes = entry.get("with")
    return Claim(
        figure=str(entry["figure"]),
        printed=str(entry["printed"]),
        exact=str(entry["exact"]),
        why=str(entry["why"]),
        model=None if changes is None else spec_from_dict({**model, **changes}),
        beside=str(entry.get("beside", "")),
    )
