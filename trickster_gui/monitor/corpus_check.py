"""Whether the text to learn from is there, before a worker is started in vain."""

from __future__ import annotations

from pathlib import Path

from engine.data.catalogue import catalogue


class CorpusCheck:
    """Looks for the file or folder when its name changes or it is told to, not at every tick."""

    def __init__(self) -> None:
        self._name = ""
        self._problem = ""

    def problem(self, name: str) -> str:
        """What is wrong with the text ``name`` of the run, and what to do; empty: nothing."""
        if name != self._name:
            self._name, self._problem = name, _look(name)
        return self._problem

    def look_again(self) -> bool:
        """Look anew for the last text asked for; whether the answer is another one now."""
        before = self._problem
        self._problem = _look(self._name) if self._name else ""
        return self._problem != before


def _look(name: str) -> str:
    if any(entry.name == name for entry in catalogue()):
        return ""
    try:
        there = Path(name).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, no such home, a NUL
        there = False
    if there:
        return ""
    shown = name if len(name) <= 80 else f"…{name[-79:]}"
    return f"There is no text {shown!r}: choose another under Text, or put the file back."
