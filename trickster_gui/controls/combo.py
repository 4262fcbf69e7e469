"""A drop-down list that looks like one and that the wheel leaves alone."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPalette, QWheelEvent
from PySide6.QtWidgets import QComboBox, QWidget

from trickster_gui.controls import fonts
from trickster_gui.controls.icons import draw_icon

_ARROW_PX = 12


class QuietCombo(QComboBox):
    """A list that the wheel only changes while it has the focus."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFont(fonts.base())
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        # A style sheet takes the style's own arrow away.
        place = QRectF(
            self.width() - _ARROW_PX - 7, (self.height() - _ARROW_PX) / 2, _ARROW_PX, _ARROW_PX
        )
        group = QPalette.ColorGroup.Active if self.isEnabled() else QPalette.ColorGroup.Disabled
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colour = self.palette().color(group, QPalette.ColorRole.Text)
        draw_icon(painter, "chevron-down", place, colour.name())
        painter.end()

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()
