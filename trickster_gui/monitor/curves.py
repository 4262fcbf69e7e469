"""The items of the loss plot, and the pens they are drawn with."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter, QTransform


def thin_pen(colour: str, alpha: int = 255, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> Any:
    """A pen of width 1: wider ones cost many times more."""
    shade = QColor(colour)
    shade.setAlpha(alpha)
    return pg.mkPen(shade, width=1, style=style)


class _StrongCurve(pg.PlotCurveItem):  # type: ignore[misc]
    """A line two pixels high, drawn as two of width 1: a pen of width 2 costs seven times more."""

    def paint(self, painter: QPainter, option: Any, widget: Any) -> None:
        super().paint(painter, option, widget)
        painter.setTransform(painter.transform() * QTransform.fromTranslate(0.0, 1.0))
        super().paint(painter, option, widget)


class LossCurves:
    """The items of the loss plot."""

    def __init__(self, plot: Any) -> None:
        self.abandoned = pg.PlotCurveItem(connect="finite")
        self.raw = pg.PlotCurveItem(connect="finite")
        self.smoothed = _StrongCurve(connect="finite")
        self.validation = pg.PlotCurveItem(connect="finite")
        self.points = pg.ScatterPlotItem(size=6, pxMode=True)
        self.best = pg.InfiniteLine(
            angle=90, label="", labelOpts={"position": 0.66, "anchors": [(1.05, 0.5), (1.05, 0.5)]}
        )
        for item in (self.abandoned, self.raw, self.smoothed, self.validation, self.points):
            plot.addItem(item, ignoreBounds=True)
        plot.addItem(self.best, ignoreBounds=True)
        self.best.hide()
