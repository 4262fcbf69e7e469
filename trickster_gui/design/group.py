"""A group of rows: its heading, the usual rows, and the rarer ones below "More"."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from trickster_gui.controls import fonts
from trickster_gui.controls.buttons import Disclosure
from trickster_gui.controls.text import Text
from trickster_gui.design.rows import Row
from trickster_gui.theme import ThemeSource

MARGIN_PX = 14


class Group(QFrame):
    """Rows under a heading. ``collapsible`` groups begin closed and open at their heading.

    ``disclosed`` carries (key, open) when a person opens or closes something; the key is the
    group's name, with " / more" for its rarer rows.
    """

    disclosed = Signal(str, bool)

    def __init__(
        self, name: str, themes: ThemeSource, *, collapsible: bool = False,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.setObjectName("group")
        self.name = name
        self._themes = themes
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(MARGIN_PX, 8, MARGIN_PX, 6)
        self._column.setSpacing(0)
        self.heading: Disclosure | None = None
        self.more: Disclosure | None = None
        if collapsible:
            self.heading = Disclosure(themes, name, heading=True, parent=self)
            self.heading.toggled.connect(lambda on: self._toggle(name, on))
            self._column.addWidget(self.heading)
        else:
            words = Text(themes, fonts.small(600), "muted", parent=self)
            words.setText(name.upper())
            self._column.addWidget(words)
        self._usual: list[Row] = []
        self._rare: list[Row] = []
        self._hidden: set[Row] = set()

    @property
    def more_key(self) -> str:
        """The key under which the state of "More" is remembered."""
        return f"{self.name} / more"

    def holder(self) -> QWidget:
        """The parent for rows."""
        return self

    def add_rows(self, usual: Sequence[Row]) -> None:
        """Put the usual rows below the heading."""
        for row in usual:
            self._usual.append(row)
            self._column.addWidget(row)
        self._arrange()

    def add_more(self) -> None:
        """Put the disclosure of rarer rows below the usual ones."""
        self.more = Disclosure(self._themes, "More", parent=self)
        self.more.setAccessibleName(f"More about {self.name.lower()}")
        self.more.toggled.connect(lambda on: self._toggle(self.more_key, on))
        self._column.addWidget(self.more)

    def add_rare(self, rare: Sequence[Row]) -> None:
        """Put the rarer rows below "More"."""
        for row in rare:
            self._rare.append(row)
            self._column.addWidget(row)
        self._arrange()

    def rows(self) -> list[Row]:
        """All rows, from the top."""
        return self._usual + self._rare

    def set_row_wanted(self, row: Row, wanted: bool) -> None:
        """Show a row or leave it out, whether its disclosure is open or not."""
        if wanted == (row in self._hidden):
            (self._hidden.discard if wanted else self._hidden.add)(row)
            self._arrange()

    def reveal(self, row: Row) -> None:
        """Open whatever hides a row."""
        if self.heading is not None:
            self.heading.setChecked(True)
        if row in self._rare and self.more is not None:
            self.more.setChecked(True)

    def set_disclosed(self, key: str, is_open: bool) -> None:
        """Take over a remembered state."""
        if key == self.name and self.heading is not None:
            self.heading.setChecked(is_open)
        if key == self.more_key and self.more is not None:
            self.more.setChecked(is_open)

    def _toggle(self, key: str, is_open: bool) -> None:
        self._arrange()
        self.disclosed.emit(key, is_open)

    def _arrange(self) -> None:
        body = self.heading is None or self.heading.isChecked()
        rare = self.more is not None and self.more.isChecked()
        for row in self._usual:
            row.setVisible(body and row not in self._hidden)
        if self.more is not None:
            self.more.setVisible(body)
        for row in self._rare:
            row.setVisible(body and rare and row not in self._hidden)
        if self.more is not None:
            inside = [row.binding.parameter.label for row in self._rare if row not in self._hidden]
            self.more.set_note("" if rare else ", ".join(inside).lower())
