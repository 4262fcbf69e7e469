"""One choice out of a few, all in sight."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QButtonGroup, QFrame, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from trickster_gui.controls import fonts

_PADDING_PX = 8


class Segments(QFrame):
    """Buttons side by side, exactly one of them down. ``chosen`` carries the key chosen.

    A word in brackets at the end of a choice ("RoPE (rotary)") goes to the tooltip. Arrow keys
    move between the choices; Tab leaves.
    """

    chosen = Signal(str)

    def __init__(self, choices: Mapping[str, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segments")
        self._buttons: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 2, 2, 2)
        row.setSpacing(1)
        for key, words in choices.items():
            button = QPushButton(short(words), self)
            button.setCheckable(True)
            button.setFont(fonts.small())
            button.setToolTip(words)
            button.setAccessibleName(words)
            button.setProperty("segment", True)
            button.setMinimumWidth(text_width(words))
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _=False, key=key: self.chosen.emit(key))
            self._group.addButton(button)
            self._buttons[key] = button
            row.addWidget(button, 1)
        self._width = total_width(choices)

    def sizeHint(self) -> QSize:
        return QSize(self._width, super().sizeHint().height())

    def set_choice(self, key: str) -> None:
        """Show a choice as chosen, without telling anybody."""
        button = self._buttons.get(key)
        if button is not None and not button.isChecked():
            button.setChecked(True)

    def choice(self) -> str:
        """The key that is chosen; empty where none is."""
        return next((key for key, button in self._buttons.items() if button.isChecked()), "")

    def button(self, key: str) -> QPushButton:
        """The button of one choice."""
        return self._buttons[key]

    def buttons(self) -> list[QPushButton]:
        """All buttons, from left to right."""
        return list(self._buttons.values())


def short(words: str) -> str:
    """A choice without its explanation in brackets."""
    return words.split(" (", maxsplit=1)[0]


def text_width(words: str) -> int:
    """Width of the segment for a choice, in px."""
    return QFontMetrics(fonts.small(500)).horizontalAdvance(short(words)) + 2 * _PADDING_PX


def total_width(choices: Mapping[str, str]) -> int:
    """Least width of a row of segments for these choices, in px."""
    return sum(text_width(words) + 1 for words in choices.values()) + 6
