"""A thin bar: how far something has come."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from trickster_gui.theme import ThemeSource


class ProgressLine(QWidget):
    """Four pixels high, always there. ``role`` names its colour, a field of Theme.

    ``of`` is what comes on, for whoever hears it.
    """

    def __init__(
        self, themes: ThemeSource, parent: QWidget | None = None, *, of: str = "the run"
    ) -> None:
        super().__init__(parent)
        self._themes, self._of = themes, of
        self._fraction = 0.0
        self._role = "accent"
        self.setFixedHeight(4)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        themes.changed.connect(self.update)

    def fraction(self) -> float:
        """How far, 0 to 1."""
        return self._fraction

    def show_fraction(self, fraction: float, role: str = "accent") -> None:
        """Show how far."""
        fraction = min(max(fraction, 0.0), 1.0)
        if (fraction, role) != (self._fraction, self._role):
            self._fraction, self._role = fraction, role
            self.setAccessibleName(f"{fraction:.0%} of {self._of}")
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        box = QRectF(self.rect())
        painter.setBrush(QColor(self._themes.current.border))
        painter.drawRoundedRect(box, 2, 2)
        if self._fraction > 0.0:
            box.setWidth(max(box.width() * self._fraction, 4.0))
            painter.setBrush(QColor(getattr(self._themes.current, self._role)))
            painter.drawRoundedRect(box, 2, 2)
