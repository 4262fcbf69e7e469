"""Axes with figures that people read: 2 k steps, 1.5 M tokens, 12 min."""

from __future__ import annotations

import math
from typing import Any

import pyqtgraph as pg
from PySide6.QtGui import QFont

from engine import words
from trickster_gui.theme import Theme

# Least distance between two ticks, in px.
_APART_X_PX, _APART_Y_PX, _APART_SMALL_PX = 64.0, 23.0, 18.0
# An axis shorter than this has its ticks closer together, so that it has more than one.
_SMALL_PX = 90.0
_LOG_MULTIPLES = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


def round_step(smallest: float) -> float:
    """The least of 1, 2, 5 × 10ⁿ that is not below ``smallest`` (a number above 1e-300)."""
    if not (smallest > 1e-300 and math.isfinite(smallest)):
        return 1.0
    power = 10.0 ** math.floor(math.log10(smallest))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= smallest)


def label_of(value: float, style: str) -> str:
    """One tick's text. Styles: count, seconds, loss, plain."""
    if style == "count":
        figures, _, letter = words.short_count(round(value, 6)).partition(" ")
        if "." in figures:
            figures = figures.rstrip("0").rstrip(".")
        return f"{figures} {letter}".rstrip()
    if style == "seconds":
        return words.duration(value) if value > 0 else "0"
    if style == "loss":
        return f"{value:.3g}"
    return words.short_count(value) if abs(value) >= 1000 else f"{value:.3g}"


class ReadableAxis(pg.AxisItem):  # type: ignore[misc]
    """An axis whose ticks are few and round, in linear and in logarithmic mode."""

    def __init__(self, orientation: str, style: str) -> None:
        super().__init__(orientation)
        self._style_name = style
        self.logarithmic = False
        self.enableAutoSIPrefix(False)

    def restyle(self, theme: Theme, font: QFont) -> None:
        """Take over the colours and the font of the window."""
        self.setPen(pg.mkPen(theme.border, width=1))
        self.setTextPen(pg.mkPen(theme.muted))
        self.setStyle(tickFont=font, tickLength=-3, tickTextOffset=5)

    def show_as(self, style: str) -> None:
        """Change what the figures mean."""
        self._style_name = style
        self.picture = None
        self.update()

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        """Ticks by level; in logarithmic mode ``low`` and ``high`` are powers of ten."""
        if not self.logarithmic:
            return [self._linear_ticks(low, high, size)]
        values = []
        for power in range(math.floor(low), math.ceil(high) + 1):
            values += [math.log10(multiple) + power for multiple in _LOG_MULTIPLES]
        inside = [value for value in values if low <= value <= high]
        if high - low > 1.5:
            inside = [value for value in inside if abs(value - round(value)) < 1e-9]
        every = max(1, math.ceil(len(inside) * 34.0 / max(size, 1.0)))
        return [(1.0, inside[::every])]

    def _linear_ticks(self, low: float, high: float, size: float) -> tuple[float, list[float]]:
        if self.orientation in ("top", "bottom"):
            apart = _APART_X_PX
        else:
            apart = _APART_SMALL_PX if size < _SMALL_PX else _APART_Y_PX
        spacing = round_step((high - low) * apart / max(size, apart))
        first, last = math.ceil(low / spacing - 1e-9), math.floor(high / spacing + 1e-9)
        return spacing, [number * spacing for number in range(first, min(last, first + 100) + 1)]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """Texts of ticks."""
        known = [10.0**value if self.logarithmic else value for value in values]
        return [label_of(value, self._style_name) for value in known]

    def generateDrawSpecs(self, painter: Any) -> Any:
        """No specs where the axis has no room yet, which pyqtgraph would divide by."""
        return super().generateDrawSpecs(painter) if self.geometry().height() > 2 else None
