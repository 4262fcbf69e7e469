"""Everything the window can do, by name: one list for menu, shortcuts and command palette."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One thing the window can do. ``keys`` are shortcuts in Qt's portable notation."""

    name: str
    title: str
    run: Callable[[], object]
    keys: tuple[str, ...] = ()
    section: str = "Actions"
    enabled: Callable[[], bool] = lambda: True


class Commands:
    """The commands by name, in the order in which they were declared."""

    def __init__(self, commands: Iterable[Command] = ()) -> None:
        self._commands: dict[str, Command] = {}
        for command in commands:
            self.add(command)

    def add(self, command: Command) -> None:
        """Declare a command; other panels may add theirs."""
        assert command.name not in self._commands, f"{command.name} is declared twice"
        self._commands[command.name] = command

    def __getitem__(self, name: str) -> Command:
        return self._commands[name]

    def all(self) -> list[Command]:
        """Every command."""
        return list(self._commands.values())
