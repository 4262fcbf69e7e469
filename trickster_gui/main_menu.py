"""The menu of the window: the commands that people look for in a menu, and recent files."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMenu, QWidget

from trickster_gui.commands import Command, Commands
from trickster_gui.files import DesignFiles

_RECENT = "recent"
_GROUPS = (
    ("new", "open", _RECENT, "save", "save-as"),
    ("copy-design", "paste-design"),
    ("undo", "redo"),
    ("theme-system", "theme-light", "theme-dark"),
    ("palette", "help", "quit"),
)


def main_menu(commands: Commands, files: DesignFiles, parent: QWidget) -> QMenu:
    """A menu that is gone when it closes."""
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    for group in _GROUPS:
        for name in group:
            if name == _RECENT:
                _add_recent(menu, files)
            else:
                _add(menu, commands[name])
        menu.addSeparator()
    return menu


def _add(menu: QMenu, command: Command) -> None:
    keys = f"\t{command.keys[0]}" if command.keys else ""
    action = menu.addAction(command.title + keys)
    action.setEnabled(command.enabled())
    action.triggered.connect(command.run)


def _add_recent(menu: QMenu, files: DesignFiles) -> None:
    recent = menu.addMenu("Open recent")
    recent.setEnabled(bool(files.recent))
    for path in files.recent:
        action = recent.addAction(path)
        action.triggered.connect(lambda _=False, path=path: files.open(path))
