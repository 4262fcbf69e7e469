"""The lists that open over the window: one of each name, below a button or in the middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QWidget

from trickster_gui.controls.search_list import Entry, SearchList
from trickster_gui.theme import ThemeSource

Provide = Callable[[str], Sequence[Entry]]
Take = Callable[[str], object]
_GAP_PX, _MIDDLE_PX = 4, 72


class Popups:
    """Opens lists over ``window``; one that is opened again replaces the former."""

    def __init__(self, window: QWidget, themes: ThemeSource) -> None:
        self._window, self._themes = window, themes
        self._lists: dict[str, SearchList] = {}

    def open_below(
        self, name: str, placeholder: str, provide: Provide, take: Take, button: QWidget, width: int
    ) -> None:
        """Below ``button``, moved left where the window would end."""
        found = self._new(name, placeholder, provide, take)
        corner = button.mapToGlobal(button.rect().bottomLeft()) + QPoint(0, _GAP_PX)
        limit = self._window.mapToGlobal(self._window.rect().topRight()).x() - width - 2 * _GAP_PX
        found.open_at(QPoint(min(corner.x(), limit), corner.y()), width)

    def open_in_middle(
        self, name: str, placeholder: str, provide: Provide, take: Take, width: int
    ) -> None:
        """In the middle of the window, below the bar."""
        found = self._new(name, placeholder, provide, take)
        left = (self._window.width() - width) // 2
        found.open_at(self._window.mapToGlobal(QPoint(left, _MIDDLE_PX)), width)

    def shown(self, name: str) -> SearchList | None:
        """The list of this name if it is open."""
        found = self._lists.get(name)
        return found if found is not None and found.isVisible() else None

    def close(self) -> None:
        """Close them all."""
        for found in self._lists.values():
            found.close()

    def _new(self, name: str, placeholder: str, provide: Provide, take: Take) -> SearchList:
        former = self._lists.pop(name, None)
        if former is not None:
            former.close()
            former.deleteLater()
        found = SearchList(self._themes, placeholder, provide, self._window)
        found.chosen.connect(take)
        self._lists[name] = found
        return found
