"""What the chart area shows before there is a chart: what will appear, and how to read it."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QPushButton, QSizePolicy, QWidget

from trickster_gui.controls import fonts
from trickster_gui.theme import ThemeSource

# Where the floors lie between the start (0) and the bottom of the drawing (1). Their true heights
# depend on the text and are measured when a run begins.
_FLOORS = (("1-gram: knows only which tokens are frequent", 0.34),
           ("2-gram: also looks at the token before", 0.58),
           ("3-gram: at the two before", 0.76))  # fmt: skip
_END = 0.86
# The least size of the chart that takes its place: nothing moves when it comes.
_CHART_LEAST = QSize(524, 152)


class EmptyState(QWidget):
    """A ghost of the loss curve with its landmarks, or what is being prepared.

    Nothing on it is a result: the curve is a drawing, and the only number is ln V, the loss of
    a model that gives each of V tokens the same probability.
    """

    def __init__(self, themes: ThemeSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._themes = themes
        self._vocab_size = 256
        self._drawn: tuple[object, QPixmap] | None = None
        self._headline = ""
        self._fraction: float | None = None
        self._busy = False
        self.button = QPushButton("Train this design", self)
        self.button.setProperty("primary", True)
        self.button.setFont(fonts.base(600))
        self.button.setAccessibleName("Train this design")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("What the loss chart will show")
        themes.changed.connect(self.update)

    def set_vocabulary(self, vocab_size: int) -> None:
        """The design's vocabulary, which sets where the loss starts."""
        if vocab_size != self._vocab_size:
            self._vocab_size = vocab_size
            self.update(self._words_place().toAlignedRect())

    def show_waiting(self) -> None:
        """No run yet: teach."""
        self._show(False, "", None)

    def show_busy(self, what: str, fraction: float | None) -> None:
        """Something is being prepared; ``fraction`` (0 to 1) where progress is known."""
        self._show(True, what, fraction)

    def _show(self, busy: bool, headline: str, fraction: float | None) -> None:
        if (busy, headline, fraction) != (self._busy, self._headline, self._fraction):
            self._busy, self._headline, self._fraction = busy, headline, fraction
            self.update()

    def headline(self) -> str:
        """What it says is being prepared; empty while it teaches."""
        return self._headline

    def start_loss(self) -> float | None:
        """ln V, the loss of a model that has not learned anything."""
        return math.log(self._vocab_size) if self._vocab_size >= 2 else None

    def minimumSizeHint(self) -> QSize:
        return _CHART_LEAST

    def _area(self) -> QRectF:
        return QRectF(self.rect()).adjusted(14, 22, -14, -26)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The button stands in the free place between the start and the first floor."""
        super().resizeEvent(event)
        area, size = self._area(), self.button.sizeHint()
        middle = QPointF(area.center().x(), area.top() + (0.06 + _FLOORS[0][1]) / 2 * area.height())
        self.button.setGeometry(
            QRect(round(middle.x() - size.width() / 2), round(middle.y() - size.height() / 2),
                  size.width(), size.height())
        )  # fmt: skip

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = self._area()
        self._paint_floors(painter, area)
        painter.drawPixmap(0, 0, self._curve_drawn(area))
        self._paint_start(painter)
        self._paint_axes(painter, area)
        if self._busy:
            self._paint_busy(painter)

    def _paint_axes(self, painter: QPainter, area: QRectF) -> None:
        theme = self._themes.current
        painter.setFont(fonts.small())
        painter.setPen(QPen(QColor(theme.border), 1))
        painter.drawLine(area.bottomLeft() + QPointF(0, 6), area.bottomRight() + QPointF(0, 6))
        painter.drawLine(area.topLeft(), area.bottomLeft() + QPointF(0, 6))
        painter.setPen(QColor(theme.faint))
        below = QRectF(area.left(), area.bottom() + 8, area.width(), 18)
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, "steps →")
        painter.drawText(
            below, Qt.AlignmentFlag.AlignLeft, "A sketch: your run draws the real curve here"
        )

    def _curve(self, area: QRectF) -> QPainterPath:
        path = QPainterPath()
        for index in range(201):
            t = index / 200
            fall = _END * (1.0 - math.exp(-7.0 * t)) + (1 - _END) * 0.5 * t
            point = QPointF(area.left() + t * area.width(), area.top() + fall * area.height())
            if index:
                path.lineTo(point)
            else:
                path.moveTo(point)
        return path

    def _curve_drawn(self, area: QRectF) -> QPixmap:
        """The curve as a picture: a long antialiased line is the dearest thing here."""
        theme, ratio = self._themes.current, self.devicePixelRatioF()
        known = (self.size().toTuple(), ratio, theme.name)
        if self._drawn is None or self._drawn[0] != known:
            pixmap = QPixmap(self.size() * ratio)
            pixmap.setDevicePixelRatio(ratio)
            pixmap.fill(Qt.GlobalColor.transparent)
            painter = QPainter(pixmap)
            self._paint_curve(painter, area)
            painter.end()
            self._drawn = (known, pixmap)
        return self._drawn[1]

    def _paint_curve(self, painter: QPainter, area: QRectF) -> None:
        theme = self._themes.current
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colour = QColor(theme.series["train"])
        colour.setAlpha(90 if theme.name == "light" else 110)
        painter.setPen(QPen(colour, 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(self._curve(area))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.series["train"]))
        painter.drawEllipse(area.topLeft(), 3.5, 3.5)

    def _words_place(self) -> QRectF:
        area = self._area()
        return QRectF(area.left() + 12, area.top() - 10, area.width() - 12, 20)

    def _paint_start(self, painter: QPainter) -> None:
        loss = self.start_loss()
        if loss is None:
            return
        painter.setFont(fonts.small(600))
        painter.setPen(QColor(self._themes.current.text))
        words = f"Starts near ln {self._vocab_size:,} = {loss:.2f}: every token equally likely"
        place = self._words_place()
        middle = Qt.AlignmentFlag.AlignVCenter
        shown = painter.fontMetrics().elidedText(
            words, Qt.TextElideMode.ElideRight, int(place.width())
        )
        painter.drawText(place, Qt.AlignmentFlag.AlignLeft | middle, shown)

    def _paint_floors(self, painter: QPainter, area: QRectF) -> None:
        theme = self._themes.current
        painter.setFont(fonts.small())
        metrics = QFontMetricsF(fonts.small())
        for words, height in _FLOORS:
            y = area.top() + height * area.height()
            painter.setPen(QPen(QColor(theme.series["floor"]), 1, Qt.PenStyle.DashLine))
            width = metrics.horizontalAdvance(words) + 8
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right() - width, y))
            painter.setPen(QColor(theme.muted))
            place = QRectF(area.right() - width, y - 10, width, 20)
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(place, flags, words)

    def _paint_busy(self, painter: QPainter) -> None:
        theme = self._themes.current
        box = QRectF(0, 0, min(420.0, self.width() - 40.0), 56)
        box.moveCenter(QRectF(self.button.geometry()).center() - QPointF(0, 4))
        painter.setPen(QPen(QColor(theme.border), 1))
        painter.setBrush(QColor(theme.surface))
        painter.drawRoundedRect(box, 8, 8)
        painter.setFont(fonts.base(600))
        painter.setPen(QColor(theme.text))
        words = box.adjusted(16, 8, -16, -24)
        shown = painter.fontMetrics().elidedText(
            self._headline, Qt.TextElideMode.ElideRight, int(words.width())
        )
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, shown)
        bar = QRectF(box.left() + 16, box.bottom() - 17, box.width() - 32, 5)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.raised))
        painter.drawRoundedRect(bar, 2.5, 2.5)
        if self._fraction is not None:
            bar.setWidth(max(bar.width() * min(max(self._fraction, 0.0), 1.0), 5.0))
            painter.setBrush(QColor(theme.accent))
            painter.drawRoundedRect(bar, 2.5, 2.5)
