"""The legend that is also the read-out: each series with its value, in reserved space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from trickster_gui.controls import fonts
from trickster_gui.theme import ThemeSource

Mark = Literal["faint", "line", "points", "none"]
_SWATCH_PX, _GAP_PX, _ENTRY_GAP_PX = 16, 5, 16


@dataclass(frozen=True)
class Entry:
    """One series: how it is drawn, its name, its value, and the widest value that may come."""

    mark: Mark
    series: str
    name: str
    value: str
    reserve: str


class Legend(QWidget):
    """One line of entries; places stay where they are while values change."""

    def __init__(self, themes: ThemeSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._themes = themes
        self._entries: tuple[Entry, ...] = ()
        self.setFont(fonts.small())
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        themes.changed.connect(self.update)

    def show_entries(self, entries: tuple[Entry, ...]) -> None:
        """Show these."""
        if entries != self._entries:
            self._entries = entries
            words = ", ".join(f"{entry.name} {entry.value}".strip() for entry in entries)
            self.setAccessibleName(words)
            self.setToolTip(words)
            self.update()

    def text(self) -> str:
        """All that it says."""
        return self.accessibleName()

    def sizeHint(self) -> QSize:
        return QSize(200, QFontMetrics(self.font()).height() + 4)

    def minimumSizeHint(self) -> QSize:
        return QSize(50, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(self.font())
        for entry, place in zip(self._entries, self.places(), strict=False):  # the last may not fit
            self._paint_entry(painter, entry, place.left())

    def places(self) -> list[QRectF]:
        """Where the entries are painted: as many as there is room for."""
        x, found = 4.0, []
        for entry in self._entries:
            width = self._width(entry)
            if x + width > self.width():
                break
            found.append(QRectF(x, 0, width, self.height()))
            x += width + _ENTRY_GAP_PX
        return found

    def _width(self, entry: Entry) -> float:
        metrics = QFontMetrics(self.font())
        swatch = _SWATCH_PX + _GAP_PX if entry.mark != "none" else 0
        words = metrics.horizontalAdvance(entry.name)
        widest = max(metrics.horizontalAdvance(text) for text in (entry.reserve, entry.value))
        return float(swatch + words + (widest + _GAP_PX if widest else 0))

    def _paint_entry(self, painter: QPainter, entry: Entry, x: float) -> None:
        theme, metrics = self._themes.current, QFontMetrics(self.font())
        middle = self.height() / 2
        if entry.mark != "none":
            self._paint_mark(painter, entry, x, middle)
            x += _SWATCH_PX + _GAP_PX
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.setPen(QColor(theme.muted))
        words = metrics.horizontalAdvance(entry.name)
        painter.drawText(QRectF(x, 0, words + 2, self.height()), flags, entry.name)
        painter.setPen(QColor(theme.text))
        value = QRectF(x + words + _GAP_PX, 0, self.width(), self.height())
        painter.drawText(value, flags, entry.value)

    def _paint_mark(self, painter: QPainter, entry: Entry, x: float, middle: float) -> None:
        colour = QColor(self._themes.current.series[entry.series])
        if entry.mark == "faint":
            colour.setAlpha(110)
        painter.setPen(QPen(colour, 2 if entry.mark == "line" else 1))
        painter.drawLine(QPointF(x, middle), QPointF(x + _SWATCH_PX, middle))
        if entry.mark == "points":
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawEllipse(QPointF(x + _SWATCH_PX / 2, middle), 3.0, 3.0)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
