"""A slider over notches: each position is one useful value."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractSlider, QSizePolicy, QWidget

from trickster_gui.theme import Theme, ThemeSource

HEIGHT_PX = 20
_THUMB_PX = 7.0
_GROOVE_PX = 4.0
_DOTS = 14  # notches are marked where there are at most so many
_WHEEL_STROKE_MS = 500
_EDIT_TEXT = frozenset("0123456789.")


class NotchSlider(QAbstractSlider):
    """Steps through ``count`` notches.

    ``chosen`` carries the notch that a person chose; changes made by the program are silent.
    Everything between ``stroke_began`` and ``stroke_ended`` (a drag, a held key, a turn of the
    wheel) is meant as one change. ``typed`` carries a digit that was typed: it begins an exact
    value. The wheel only works with the focus on the slider, so that scrolling a panel changes
    nothing by accident.
    """

    chosen = Signal(int)
    stroke_began = Signal()
    stroke_ended = Signal()
    typed = Signal(str)

    def __init__(self, themes: ThemeSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._themes = themes
        self._by_program = False
        self._grip: float | None = None
        self._hover = False
        self._wheel_pixels = 0
        self._wheel_over = QTimer(self, singleShot=True, interval=_WHEEL_STROKE_MS)
        self._wheel_over.timeout.connect(self.stroke_ended)
        self.setOrientation(Qt.Orientation.Horizontal)
        # Not WheelFocus: the wheel must not take the focus of what it scrolls past.
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSingleStep(1)
        self.valueChanged.connect(self._value_changed)

    def set_notches(self, count: int, notch: int) -> None:
        """Show ``notch`` of ``count``, without telling anybody."""
        self._by_program = True
        if self.maximum() != count - 1:
            self.setRange(0, count - 1)
            self.setPageStep(max(2, count // 8))
        self.setValue(notch)
        self._by_program = False

    def dragging(self) -> bool:
        """Whether a person holds the thumb: its scale must not change now."""
        return self._grip is not None

    def sizeHint(self) -> QSize:
        return QSize(120, HEIGHT_PX)

    def minimumSizeHint(self) -> QSize:
        return QSize(60, HEIGHT_PX)

    def thumb_x(self, notch: int | None = None) -> float:
        """Centre of the thumb at a notch (the present one by default), in px from the left."""
        span = max(1, self.maximum())
        at = self.value() if notch is None else notch
        return self._left() + (self.width() - 2 * self._left()) * at / span

    def _left(self) -> float:
        return _THUMB_PX + 2

    def _notch_at(self, x: float) -> int:
        share = (x - self._left()) / max(1.0, self.width() - 2 * self._left())
        return round(min(1.0, max(0.0, share)) * self.maximum())

    def _value_changed(self, notch: int) -> None:
        if not self._by_program:
            self.chosen.emit(notch)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() is not Qt.MouseButton.LeftButton:
            event.ignore()
            return
        x = event.position().x()
        on_thumb = abs(x - self.thumb_x()) <= _THUMB_PX + 2
        self._grip = x - self.thumb_x() if on_thumb else 0.0
        self.stroke_began.emit()
        if not on_thumb:
            self.setValue(self._notch_at(x))
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._grip is not None:
            self.setValue(self._notch_at(event.position().x() - self._grip))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._grip is not None and event.button() is Qt.MouseButton.LeftButton:
            self._grip = None
            self.stroke_ended.emit()
            self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        text = event.text()
        if text and text in _EDIT_TEXT and not event.modifiers() & ~_KEYPAD:
            self.typed.emit(text)
            return
        if not event.isAutoRepeat() and event.key() in _STEPS:
            self.stroke_began.emit()
        super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if not event.isAutoRepeat() and event.key() in _STEPS:
            self.stroke_ended.emit()
        super().keyReleaseEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if not self.hasFocus():
            event.ignore()
            return
        if not self._wheel_over.isActive():
            self._wheel_pixels = 0
            self.stroke_began.emit()
        self._wheel_over.start()
        self._wheel_pixels += event.angleDelta().y()
        notches = int(self._wheel_pixels / 120)
        self._wheel_pixels -= notches * 120
        self.setValue(self.value() + notches)
        event.accept()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        if self._wheel_over.isActive():
            self._wheel_over.stop()
            self.stroke_ended.emit()
        super().focusOutEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = self._themes.current
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle, x = self.height() / 2, self.thumb_x()
        self._paint_groove(painter, theme, middle, x)
        hot = self.dragging() or self.underMouse()
        if self.hasFocus():
            halo = QColor(theme.accent)
            halo.setAlphaF(0.35)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(halo)
            painter.drawEllipse(QPointF(x, middle), _THUMB_PX + 2.5, _THUMB_PX + 2.5)
        focus_or_hot = hot or self.hasFocus()
        painter.setPen(QPen(QColor(theme.accent if focus_or_hot else theme.faint), 1.6))
        painter.setBrush(QColor(theme.surface if self.isEnabled() else theme.raised))
        painter.drawEllipse(QPointF(x, middle), _THUMB_PX - 1, _THUMB_PX - 1)

    def _paint_groove(self, painter: QPainter, theme: Theme, middle: float, x: float) -> None:
        left, right = self._left(), self.width() - self._left()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.border))
        groove = QRectF(left - 2, middle - _GROOVE_PX / 2, right - left + 4, _GROOVE_PX)
        painter.drawRoundedRect(groove, 2, 2)
        if self.isEnabled():
            painter.setBrush(QColor(theme.accent))
            groove.setRight(max(x, left - 1))
            painter.drawRoundedRect(groove, 2, 2)
        if 1 < self.maximum() < _DOTS:
            painter.setBrush(QColor(theme.faint))
            for notch in range(self.maximum() + 1):
                centre = QPointF(self.thumb_x(notch), middle)
                if centre.x() > x:
                    painter.drawEllipse(centre, 1.2, 1.2)


_KEYPAD = Qt.KeyboardModifier.KeypadModifier
_STEPS = {
    Qt.Key.Key_Left,
    Qt.Key.Key_Right,
    Qt.Key.Key_Up,
    Qt.Key.Key_Down,
    Qt.Key.Key_PageUp,
    Qt.Key.Key_PageDown,
    Qt.Key.Key_Home,
    Qt.Key.Key_End,
}
