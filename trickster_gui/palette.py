"""The command palette: every action, preset and parameter, by typing a few letters of its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from engine.parameter import Parameter, SpecError
from engine.run_spec import run_parameters
from engine.spec import model_parameters
from trickster_gui.commands import Commands
from trickster_gui.controls.fuzzy import score
from trickster_gui.controls.search_list import Entry
from trickster_gui.design.binding import Binding, Part, spoken
from trickster_gui.document import Document
from trickster_gui.presets_list import preset_entries

_MOST_SETTINGS = 4


class PaletteEntries:
    """What the palette lists for a text, and what taking an entry does."""

    def __init__(
        self,
        commands: Commands,
        document: Document,
        load_preset: Callable[[str], object],
        reveal: Callable[[str], object],
    ) -> None:
        self._commands, self._document = commands, document
        self._load_preset, self._reveal = load_preset, reveal

    def entries(self, typed: str) -> list[Entry]:
        """Settings that the text spells out first, then actions, parameters and presets."""
        actions = [
            Entry(f"do:{c.name}", c.title, right=c.keys[0] if c.keys else "", section=c.section)
            for c in self._commands.all()
            if c.enabled()
        ]
        return [*self._settings(typed), *actions, *self._parameters(), *self._presets()]

    def take(self, key: str) -> None:
        """Do what an entry stands for."""
        kind, _, rest = key.partition(":")
        if kind == "do":
            self._commands[rest].run()
        elif kind == "preset":
            self._load_preset(rest)
        elif kind == "go":
            self._reveal(rest)
        elif kind == "set":
            name, _, text = rest.partition("=")
            self._binding(name).set_text(text)

    def _presets(self) -> list[Entry]:
        return [
            Entry(f"preset:{e.key}", f"Load {e.title}", e.detail, e.right, "Presets")
            for e in preset_entries()
        ]

    def _parameters(self) -> list[Entry]:
        found = []
        for name, parameter in _declared().items():
            binding = self._binding(name)
            value = spoken(binding.value, parameter) if parameter.kind != "texts" else ""
            if parameter.kind in ("choice", "flag"):
                found += self._choices(name, parameter)
            found.append(
                Entry(f"go:{name}", f"Go to {parameter.label}", "", value[:40], "Parameters")
            )
        return found

    def _choices(self, name: str, parameter: Parameter) -> list[Entry]:
        options = parameter.choices or {"yes": "on", "no": "off"}
        return [
            Entry(f"set:{name}={key}", f"Set {parameter.label} to {words}", "", "", "Parameters")
            for key, words in options.items()
        ]

    def _settings(self, typed: str) -> Sequence[Entry]:
        """Entries for texts such as "set layers 12" or "lr 3e-4": a name, then a value."""
        match = re.fullmatch(r"\s*(?:set\s+)?(.+?)\s*(?:=|\bto\b|\s)\s*(\S+)\s*", typed.lower())
        if match is None or not re.search(r"\d", match[2]):
            return []
        wanted, text = match[1], match[2]
        ranked = [
            (score(_ABBREVIATIONS.get(wanted, wanted), f"{p.label} {name}"), name)
            for name, p in _declared().items()
            if p.kind in ("integer", "number")
        ]
        best = sorted((pair for pair in ranked if pair[0] > 0), reverse=True)[:_MOST_SETTINGS]
        return [self._setting(name, text, typed) for _, name in best]

    def _setting(self, name: str, text: str, typed: str) -> Entry:
        parameter = _declared()[name]
        try:
            value = spoken(parameter.parse(text), parameter)
        except SpecError as error:
            return Entry(f"go:{name}", f"Set {parameter.label}: {error.message}", typed, "", "Set")
        title = f"Set {parameter.label} to {value}"
        now = spoken(self._binding(name).value, parameter)
        return Entry(f"set:{name}={text}", title, f"{typed} (now {now})", "", "Set")

    def _binding(self, name: str) -> Binding:
        part: Part = "model" if name in model_parameters() else "run"
        return Binding(self._document, part, name)


_ABBREVIATIONS = {
    "lr": "learning rate",
    "ctx": "context",
    "d": "hidden",
    "heads": "attention heads",
}


def _declared() -> dict[str, Parameter]:
    hidden = {"corpus", "device", "prompts"}
    both = {**model_parameters(), **run_parameters()}
    return {name: parameter for name, parameter in both.items() if name not in hidden}
