"""The presets as a list to search: sections, one sentence each, exact totals."""

from __future__ import annotations

from engine.presets import Preset, load_presets
from engine.words import exact_count, short_count
from trickster_gui.controls.search_list import Entry
from trickster_gui.document import Design

SECTIONS = ("Start here", "Lesson", "Published", "Bad designs", "Scaling")
_FIRST = ("first-minute", "nano-trickster")
_PAPERS = ("arxiv", "github.com", "et al.", "huggingface")


def section(preset: Preset) -> str:
    """The heading that a preset stands under."""
    if preset.id in _FIRST:
        return "Start here"
    if preset.id.startswith("bad-design"):
        return "Bad designs"
    if preset.id.startswith("scaling"):
        return "Scaling"
    published = any(word in preset.source.lower() for word in _PAPERS)
    return "Published" if published else "Lesson"


def preset_entries(chosen_title: str = "") -> list[Entry]:
    """All presets, section by section. ``right`` is the exact number of parameters."""
    entries = [
        Entry(
            preset.id,
            preset.title,
            preset.description,
            "cannot be built" if preset.total is None else exact_count(preset.total),
            section(preset),
            current=preset.title == chosen_title,
        )
        for preset in load_presets()
    ]
    return sorted(entries, key=lambda entry: SECTIONS.index(entry.section))


def design_of(preset: Preset) -> Design:
    """The design that a preset begins with."""
    return Design(preset.model, preset.run, preset.title)


def size_words(preset: Preset) -> str:
    """Its size in a few words, as for a message."""
    return "cannot be built" if preset.total is None else f"{short_count(preset.total)} parameters"
