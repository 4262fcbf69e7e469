"""The line of figures above the chart: captions above values, in places that do not move."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from trickster_gui.controls import fonts
from trickster_gui.theme import ThemeSource

_BESIDE_PX = 6


class Facts(QWidget):
    """Figures side by side. ``widths`` are the relative widths of their places.

    A value may have a second, quieter part: what was predicted, beside what was measured.
    """

    def __init__(
        self,
        themes: ThemeSource,
        captions: dict[str, tuple[str, int]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._themes = themes
        self._captions = captions
        self._values = dict.fromkeys(captions, ("–", ""))
        self._exact = dict.fromkeys(captions, "")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        themes.changed.connect(self.update)

    def show_fact(self, key: str, value: str, beside: str = "", exact: str = "") -> None:
        """Change one figure. ``exact`` is told in full on hover and to a screen reader."""
        if (self._values[key], self._exact[key]) != ((value, beside), exact):
            self._values[key], self._exact[key] = (value, beside), exact
            words = [
                f"{self._captions[k][0]} {self._exact[k] or ' '.join(v).strip()}"
                for k, v in self._values.items()
            ]
            self.setAccessibleName(", ".join(words))
            self.setToolTip("\n".join(words))
            self.update()

    def fact(self, key: str) -> str:
        """What one figure says."""
        return " ".join(self._values[key]).strip()

    def sizeHint(self) -> QSize:
        small, base = QFontMetrics(fonts.small()), QFontMetrics(fonts.base(600))
        return QSize(400, small.height() + base.height())

    def minimumSizeHint(self) -> QSize:
        return QSize(200, self.sizeHint().height())

    def places(self) -> dict[str, QRectF]:
        """Where each figure is painted."""
        total = sum(weight for _, weight in self._captions.values())
        x, result = 0.0, {}
        for key, (_, weight) in self._captions.items():
            width = self.width() * weight / total
            result[key] = QRectF(x, 0, width - 10, self.height())
            x += width
        return result

    def is_elided(self, key: str) -> bool:
        """Whether a figure and what stands beside it are wider than their place."""
        value, beside = self._values[key]
        room = self._room_beside(value, self.places()[key].width())
        return QFontMetrics(fonts.small()).horizontalAdvance(beside) > room

    def _room_beside(self, value: str, width: float) -> int:
        used = QFontMetrics(fonts.base(600)).horizontalAdvance(value) + _BESIDE_PX
        return int(width - used)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        theme = self._themes.current
        small, strong = QFontMetrics(fonts.small()), fonts.base(600)
        for key, place in self.places().items():
            painter.setFont(fonts.small())
            painter.setPen(QColor(theme.muted))
            top = QRectF(place.left(), 0, place.width(), small.height())
            painter.drawText(top, Qt.AlignmentFlag.AlignLeft, self._captions[key][0])
            value, beside = self._values[key]
            below = QRectF(place.left(), small.height(), place.width(), self.height())
            painter.setFont(strong)
            painter.setPen(QColor(theme.text))
            painter.drawText(below, Qt.AlignmentFlag.AlignLeft, value)
            if beside:
                room = self._room_beside(value, below.width())
                rest = below.adjusted(below.width() - room, 1, 0, 0)
                painter.setFont(fonts.small())
                painter.setPen(QColor(theme.muted))
                shown = small.elidedText(beside, Qt.TextElideMode.ElideRight, room)
                painter.drawText(rest, Qt.AlignmentFlag.AlignLeft, shown)
