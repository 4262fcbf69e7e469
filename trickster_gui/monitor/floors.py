"""Losses of the simplest models of the same text, as labelled dashed lines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont

from trickster_gui.monitor.curves import thin_pen
from trickster_gui.theme import Theme

_LABELS_PX = 84
_LABEL_GAP_PX = 13.0
_MOST = 8


class Floors:
    """Lines across a plot; their labels stand right of it, where no curve comes."""

    def __init__(self, plot: Any) -> None:
        self._plot = plot
        self._lines: list[Any] = []
        self._values: tuple[tuple[str, float], ...] = ()
        self._labels: list[tuple[float, str]] = []
        self._pen = thin_pen("#808080")
        plot.showAxis("right")
        self._axis = plot.getAxis("right")
        self._axis.setWidth(_LABELS_PX)
        self._axis.setTicks([[]])

    def restyle(self, theme: Theme, font: QFont) -> None:
        """Take over the colours of ``theme``."""
        self._pen = thin_pen(theme.series["floor"], 200, Qt.PenStyle.DashLine)
        for line in self._lines:
            line.setPen(self._pen)
        self._axis.setPen(pg.mkPen(None))
        self._axis.setTextPen(pg.mkPen(theme.muted))
        self._axis.setStyle(tickFont=font, tickLength=0, tickTextOffset=4)

    def labels(self) -> list[str]:
        """The labels that are shown, from the highest floor down."""
        return [text for _, text in self._labels]

    def clear(self) -> None:
        """Take all lines away."""
        for line in self._lines:
            self._plot.removeItem(line)
        self._lines, self._values, self._labels = [], (), []
        self._axis.setTicks([[]])

    def show(self, floors: Mapping[str, float], *, logarithmic: bool) -> None:
        """Show these (name to nats a token), at most eight, on a plot whose range is set."""
        known = [(name, v) for name, v in floors.items() if math.isfinite(v) and v > 0]
        values = tuple(sorted(known[:_MOST], key=lambda pair: -pair[1]))
        if values != self._values:
            self.clear()
            self._values = values
            self._lines = [self._line() for _ in values]
        self._place(logarithmic)

    def _line(self) -> Any:
        line = pg.InfiniteLine(angle=0, pen=self._pen)
        line.setZValue(-10)
        self._plot.addItem(line, ignoreBounds=True)
        return line

    def _place(self, logarithmic: bool) -> None:
        """Move the lines; a label that would lie on the one above it is left out."""
        view = self._plot.getViewBox()
        low, high = view.viewRange()[1]
        scale = view.height() / max(high - low, 1e-12)
        free_below = math.inf
        labels = []
        for line, (name, value) in zip(self._lines, self._values, strict=True):
            at = math.log10(value) if logarithmic else value
            if line.value() != at:
                line.setValue(at)
            if free_below - at * scale >= _LABEL_GAP_PX and low < at < high:
                labels.append((at, f"{name} {value:.2f}"))
                free_below = at * scale
        if labels != self._labels:
            self._labels = labels
            self._axis.setTicks([labels])
