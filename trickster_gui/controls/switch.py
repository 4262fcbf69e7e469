"""A switch: on or off, seen at a glance."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QCheckBox, QWidget

from trickster_gui.theme import ThemeSource

_WIDTH, _HEIGHT = 32, 20


class Switch(QCheckBox):
    """A check box (to keyboard and screen reader) that is painted as a switch."""

    def __init__(self, themes: ThemeSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._themes = themes
        self.setFixedSize(_WIDTH + 6, _HEIGHT + 6)

    def sizeHint(self) -> QSize:
        return QSize(_WIDTH + 6, _HEIGHT + 6)

    def hitButton(self, pos: QPoint) -> bool:
        return self.rect().contains(pos)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = self._themes.current
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        track = QRectF(4, 5, _WIDTH - 2, _HEIGHT - 4)
        on = self.isChecked()
        painter.setPen(QPen(QColor(theme.accent if on else theme.faint), 1.2))
        painter.setBrush(QColor(theme.accent if on else theme.raised))
        painter.drawRoundedRect(track, track.height() / 2, track.height() / 2)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme.accent), 1.6))
            ring = track.adjusted(-2.5, -2.5, 2.5, 2.5)
            painter.drawRoundedRect(ring, ring.height() / 2, ring.height() / 2)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.accent_text if on else theme.muted))
        x = track.right() - track.height() / 2 if on else track.left() + track.height() / 2
        radius = track.height() / 2 - 3.5
        painter.drawEllipse(QPointF(x, track.center().y()), radius, radius)
