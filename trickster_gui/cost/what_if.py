"""What if: the design with twice the context, width or depth, in multiples of what it costs now."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from engine.cost.doubling import COSTS, Doubling
from trickster_gui.cost import ink
from trickster_gui.cost.ink import Look, Part

_NAMES = {"parameters": "Parameters", "flops": "FLOPs", "memory": "Memory", "time": "Time"}
_IMPOSSIBLE = "beyond what can be built"
_PADDING = 12


def ratio_text(ratio: float) -> str:
    """``× 3.67``"""
    return f"× {ratio:.2f}" if ratio < 99.995 else f"× {ratio:,.0f}"


class WhatIf(Part):
    """The table of doublings: inside the compute panel where there is room, else a popover."""

    shown = Signal()

    def __init__(self, look: Look, home: QWidget) -> None:
        super().__init__(look, home)
        self._floating = False
        self._doublings: tuple[Doubling, ...] = ()
        self.hide()
        self.setAccessibleName("What if the design were twice as big")

    @property
    def doublings(self) -> tuple[Doubling, ...]:
        """What is shown."""
        return self._doublings

    def show_doublings(self, found: tuple[Doubling, ...]) -> None:
        """Show these."""
        self._doublings = found
        words = [f"Twice the {row.name}: {_in_words(row)}" for row in found]
        self.setAccessibleDescription("; ".join(words))
        self.setToolTip("\n".join(words))
        self.update()

    def needed_height(self) -> int:
        """Height of the table, in pixels."""
        return (2 + len(COSTS)) * (self.look.line + 2) + 4

    def needed_width(self) -> int:
        """Least width of the table, in pixels."""
        return (
            ink.width_of(self.look.small, _NAMES["parameters"])
            + 3 * ink.width_of(self.look.small, "context  ")
            + 12
        )

    @property
    def floating(self) -> bool:
        """Whether it lies over the view as a popover."""
        return self._floating

    def embed(self, home: QWidget, area: QRect) -> None:
        """Show it inside the panel."""
        self._float(False, home)
        self.setGeometry(area)
        self.show()

    def detach(self) -> None:
        """Take it out of the panel, until it is asked for."""
        if not self._floating:
            self.hide()

    def pop_up(self, over: QWidget, corner: QPoint) -> None:
        """Show it over a widget, its lower right corner there; Esc and other focus close it."""
        self._float(True, over)
        width = self.needed_width() + 30 + 2 * _PADDING
        height = self.needed_height() + 2 * _PADDING
        self.setGeometry(corner.x() - width, corner.y() - height, width, height)
        self.show()
        self.raise_()
        self.setFocus(Qt.FocusReason.PopupFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self._floating and event.key() == Qt.Key.Key_Escape:
            self.hide()
        else:
            super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        if self._floating:
            self.hide()

    def _float(self, floating: bool, parent: QWidget) -> None:
        self._floating = floating
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus if floating else Qt.FocusPolicy.NoFocus)
        if self.parent() is not parent:
            self.setParent(parent)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.shown.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look = QPainter(self), self.look
        area = self.rect()
        if self._floating:
            box = QRectF(area).adjusted(0.5, 0.5, -0.5, -0.5)
            ink.rounded(painter, box, look.colour("surface"), 8.0)
            painter.setPen(look.colour("faint"))
            painter.drawRoundedRect(box, 8.0, 8.0)
            area = area.adjusted(_PADDING, _PADDING, -_PADDING, -_PADDING)
        else:
            area = area.adjusted(4, 0, -4, 0)
            painter.setOpacity(look.opacity)
        line = look.line + 2
        painter.setFont(look.base)
        painter.setPen(look.colour("text"))
        ink.put(painter, QRect(area.left(), area.top(), area.width(), line), "Twice the …")
        painter.setFont(look.small)
        names = ink.width_of(look.small, _NAMES["parameters"]) + 4
        width = (area.width() - names) // max(1, len(self._doublings))
        top = area.top() + line
        painter.fillRect(QRectF(area.left(), top + line, area.width(), 1), look.colour("border"))
        painter.setPen(look.colour("muted"))
        for number, name in enumerate(_NAMES.values()):
            y = top + line + 3 + number * line
            ink.put(painter, QRect(area.left(), y, area.width(), line), name)
        for number, doubling in enumerate(self._doublings):
            column = QRect(area.left() + names + number * width, top, width, line)
            self._paint_column(painter, column, doubling)

    def _paint_column(self, painter: QPainter, cell: QRect, doubling: Doubling) -> None:
        look = self.look
        painter.setPen(look.colour("muted"))
        ink.put(painter, cell, doubling.name, ink.RIGHT)
        painter.setPen(look.colour("text"))
        ratios = doubling.ratios or {}
        for number, cost in enumerate(COSTS):
            below = cell.translated(0, (number + 1) * cell.height() + 3)
            text = ratio_text(ratios[cost]) if cost in ratios else "–"
            ink.put(painter, below, text, ink.RIGHT)


def _in_words(row: Doubling) -> str:
    if row.ratios is None:
        return _IMPOSSIBLE
    return ", ".join(f"{_NAMES[cost]} {ratio_text(ratio)}" for cost, ratio in row.ratios.items())
