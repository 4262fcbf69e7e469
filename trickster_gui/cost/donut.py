"""The donut: parameters by component, the exact total in its middle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from PySide6.QtCore import (
    QEasingCurve,
    QEvent,
    QPointF,
    QRectF,
    QSize,
    Qt,
    QVariantAnimation,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QFont,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QStyle, QWidget

from engine.words import exact_count, short_count
from trickster_gui.cost import ink
from trickster_gui.cost.ink import Look, Part
from trickster_gui.cost.slices import Ring, Slice

HOLE = 0.74
TRANSITION_MS = 130
_POP = 3.0
_GAP_DEGREES = 1.2
_LONGEST_LINE = 14
_EMPTY = Ring((), 0, in_block=False)


class Donut(Part):
    """Draws a Ring. Slices run clockwise from twelve o'clock, their angles true to their counts.

    ``pointed`` carries the index of the slice under the mouse (-1: none), ``pressed`` that of a
    clicked slice; ``centre_pressed`` asks for the exact total.
    """

    pointed = Signal(int)
    pressed = Signal(int)
    centre_pressed = Signal()

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        self._ring = _EMPTY
        self._lit = -1
        self._under_mouse = -1
        self._opened = 1.0
        self._unfold = QVariantAnimation(self)
        self._unfold.setStartValue(0.0)
        self._unfold.setEndValue(1.0)
        self._unfold.setEasingCurve(QEasingCurve.Type.OutCubic)
        self._unfold.valueChanged.connect(self._unfolded)
        self.setMouseTracking(True)
        self.setMinimumSize(QSize(100, 100))

    @property
    def ring(self) -> Ring:
        """What is shown."""
        return self._ring

    @property
    def opened(self) -> float:
        """How far the transition has come: 1 when it is over, or when there is none."""
        return self._opened

    @property
    def transition_ms(self) -> int:
        """Length of the transition in milliseconds."""
        return self._unfold.duration()

    def show_ring(self, ring: Ring, *, unfold: bool = False) -> None:
        """Show a ring at once, or let it unfold (after a click, never while dragging)."""
        if ring == self._ring and self._opened == 1.0 and not unfold:
            return
        self._unfold.stop()
        self._ring, self._opened = ring, 1.0
        whole = "in one block" if ring.in_block else "in the model"
        self.setAccessibleName(f"{exact_count(ring.total)} parameters {whole}")
        # A style that wants no animation says 0 here.
        wanted = self.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration, None, self)
        if unfold and wanted > 0 and self.isVisible():
            self._unfold.setDuration(min(TRANSITION_MS, wanted))
            self._unfold.start()
        self.update()

    def light(self, index: int) -> None:
        """Raise one slice (-1: none)."""
        if index != self._lit:
            self._lit = index
            self.update()

    def slice_at(self, point: QPointF) -> int:
        """Index of the slice at a point of this widget; -1 for the hole and outside."""
        circle = self._circle()
        away = point - circle.center()
        distance = math.hypot(away.x(), away.y())
        radius = circle.width() / 2
        if not HOLE * radius - 2 <= distance <= radius + _POP or not self._ring.total:
            return -1
        turn = math.atan2(away.x(), -away.y()) / math.tau % 1.0
        reached = 0
        for index, piece in enumerate(self._ring.slices):
            reached += piece.count
            if turn * self._ring.total < reached:
                return index
        return -1

    def middle_of(self, index: int) -> QPointF:
        """The middle of a slice, in this widget's coordinates."""
        before = sum(piece.count for piece in self._ring.slices[:index])
        turn = (before + self._ring.slices[index].count / 2) / self._ring.total * math.tau
        circle = self._circle()
        radius = circle.width() / 2 * (1 + HOLE) / 2
        return circle.center() + QPointF(math.sin(turn) * radius, -math.cos(turn) * radius)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        index = self.slice_at(event.position())
        clickable = index >= 0 or self._in_hole(event.position())
        self.setCursor(
            Qt.CursorShape.PointingHandCursor if clickable else Qt.CursorShape.ArrowCursor
        )
        self._point_at(index)

    def leaveEvent(self, event: QEvent) -> None:
        self._point_at(-1)
        super().leaveEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        index = self.slice_at(event.position())
        if index >= 0:
            self.pressed.emit(index)
        elif self._in_hole(event.position()):
            self.centre_pressed.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setOpacity(self.look.opacity)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        circle = self._circle()
        if not self._ring.total:
            painter.setPen(QPen(self.look.colour("grid"), circle.width() * (1 - HOLE) / 2))
            inset = circle.width() * (1 - HOLE) / 4
            painter.drawEllipse(circle.adjusted(inset, inset, -inset, -inset))
            return
        self._paint_slices(painter, circle)
        self._paint_total(painter, circle)

    def _paint_slices(self, painter: QPainter, circle: QRectF) -> None:
        surface = self.look.colour("surface")
        painter.setPen(Qt.PenStyle.NoPen)
        start = 90.0
        for index, piece in enumerate(self._ring.slices):
            span = 360.0 * self._opened * piece.share
            if piece.count:
                grown = _POP if index == self._lit else 0.0
                gap = _GAP_DEGREES if span > 4 * _GAP_DEGREES else 0.0
                path = _sector(circle, start - gap / 2, max(span - gap, 0.25), grown)
                painter.setBrush(_colour(piece, self.look, surface))
                painter.drawPath(path)
            start -= span

    def _paint_total(self, painter: QPainter, circle: QRectF) -> None:
        hole, line = circle.width() * HOLE, self.look.line
        digits = _broken(exact_count(self._ring.total))
        big = _largest_font(max(map(len, digits)), int(hole), self.look.base)
        words = self._total_words(hole)
        step = big.pixelSize() + 4
        y = circle.center().y() - (step * len(digits) + line * len(words)) / 2
        painter.setFont(big)
        painter.setPen(self.look.colour("text"))
        for text in digits:
            ink.put(painter, QRectF(circle.left(), y, circle.width(), step), text, ink.CENTRE)
            y += step
        painter.setFont(self.look.small)
        painter.setPen(self.look.colour("muted"))
        for text in words:
            ink.put(painter, QRectF(circle.left(), y, circle.width(), line), text, ink.CENTRE)
            y += line

    def _total_words(self, hole: float) -> list[str]:
        """``5.18 M parameters``, on two lines where the hole is small."""
        what = "in one block" if self._ring.in_block else "parameters"
        if self._ring.total < 1_000:
            return [what]
        short = short_count(self._ring.total)
        wide = ink.width_of(self.look.small, f"000 M {what}") < hole * 0.84
        return [f"{short} {what}"] if wide else [short, what]

    def _circle(self) -> QRectF:
        side = min(self.width(), self.height()) - 2 * _POP - 1
        middle = QRectF(self.rect()).center()
        return QRectF(middle.x() - side / 2, middle.y() - side / 2, side, side)

    def _in_hole(self, point: QPointF) -> bool:
        circle = self._circle()
        away = point - circle.center()
        return math.hypot(away.x(), away.y()) < HOLE * circle.width() / 2 - 2

    def _point_at(self, index: int) -> None:
        if index != self._under_mouse:
            self._under_mouse = index
            self.pointed.emit(index)

    def _unfolded(self, value: float) -> None:
        self._opened = value
        self.update()


def _colour(piece: Slice, look: Look, surface: QColor) -> QColor:
    return ink.shaded(QColor(look.theme.components[piece.component]), surface, piece.shade)


def _sector(circle: QRectF, start: float, span: float, grown: float) -> QPainterPath:
    """A piece of the ring, clockwise; a full ring is two half turns that Qt cannot drop."""
    outer = circle.adjusted(-grown, -grown, grown, grown)
    thick = circle.width() * (1 - HOLE) / 2
    inner = circle.adjusted(thick, thick, -thick, -thick)
    span = min(span, 359.99)
    path = QPainterPath()
    path.arcMoveTo(outer, start)
    path.arcTo(outer, start, -span)
    path.arcTo(inner, start - span, span)
    path.closeSubpath()
    return path


@lru_cache(maxsize=128)
def _largest_font(length: int, hole: int, base: QFont) -> QFont:
    """The boldest total that the hole holds; goes by the number of digits, so it never flickers."""
    digits = length - (length - 1) // 4
    text = f"{10**digits - 1:,}".replace("9", "0")
    font = QFont(base)
    font.setWeight(QFont.Weight.DemiBold)
    for size in range(min(34, max(12, hole // 6)), 8, -1):
        font.setPixelSize(size)
        if ink.width_of(font, text) <= hole * 0.86:
            break
    return font


def _broken(digits: str) -> list[str]:
    """A number with more digits than one line holds, on two lines: broken after a comma."""
    if len(digits) <= _LONGEST_LINE:
        return [digits]
    groups = digits.split(",")
    half = (len(groups) + 1) // 2
    return [",".join(groups[:half]) + ",", ",".join(groups[half:])]


def slice_colours(slices: Sequence[Slice], look: Look) -> list[QColor]:
    """The colour of each slice, for the table beside the donut."""
    surface = look.colour("surface")
    return [_colour(piece, look, surface) for piece in slices]
