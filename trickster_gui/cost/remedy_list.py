"""What would lower the peak of a training step: a popover with one row a remedy."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QWidget

from engine.cost.remedies import Remedy
from engine.words import binary_bytes, exact_count, percent
from trickster_gui.cost import ink
from trickster_gui.cost.ink import Look, Part
from trickster_gui.cost.rows import Row, RowGroup

_PADDING = 12
MOST_ROWS = 5


class RemedyRow(Row):
    """One remedy: what to do, what the peak falls to, how much that saves, and its price."""

    def __init__(self, look: Look, parent: QWidget, remedy: Remedy, now_bytes: int) -> None:
        super().__init__(look, parent)
        self.remedy = remedy
        saved = percent(remedy.saved_bytes / now_bytes)
        self.saving = f"{binary_bytes(remedy.peak_bytes)} · \N{MINUS SIGN}{saved}"
        change = remedy.change
        self.setAccessibleName(f"{change.words}: {self.saving}")
        words = (
            f"Peak {exact_count(remedy.peak_bytes)} bytes then, {exact_count(remedy.saved_bytes)} "
            f"fewer, at: {remedy.peak_phase}.\nThe price: {change.price}.\nClick: make this change."
        )
        self.setToolTip(words)
        self.setAccessibleDescription(words)
        self.copy_text = str(remedy.peak_bytes)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look, line = self.begin(), self.look, self.look.line
        area = self.rect().adjusted(6, 2, -6, 0)
        area.setHeight(line)
        painter.setFont(look.small)
        painter.setPen(look.colour("accent"))
        ink.put(painter, area, self.remedy.change.words)
        painter.setPen(look.colour("text"))
        ink.put(painter, area, self.saving, ink.RIGHT)
        area.moveTop(area.bottom())
        painter.setPen(look.colour("muted"))
        ink.put(painter, area, ink.elided(look.small, self.remedy.change.price, area.width()))


class RemedyList(Part):
    """The popover. ``chosen`` carries the Change that was clicked; Esc and other focus close it."""

    chosen = Signal(object)

    def __init__(self, look: Look, home: QWidget) -> None:
        super().__init__(look, home)
        self.rows: list[RemedyRow] = []
        self.group = RowGroup()
        self.hide()
        self.setAccessibleName("What lowers the peak most")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        QApplication.instance().focusObjectChanged.connect(self._focus_moved)  # type: ignore[union-attr]

    def show_remedies(self, remedies: Sequence[Remedy], now_bytes: int) -> None:
        """One row for each of the best of these."""
        for row in self.rows:
            row.hide()
            row.deleteLater()
        self.rows = [
            RemedyRow(self.look, self, remedy, now_bytes) for remedy in remedies[:MOST_ROWS]
        ]
        for row in self.rows:
            row.clicked.connect(lambda _=False, row=row: self._choose(row))
            row.show()
        self.group.set_rows(self.rows)
        self.place()

    def pop_up(self, over: QWidget, corner: QPoint) -> None:
        """Show it over a widget, its upper right corner there or as near as it fits."""
        if self.parent() is not over:
            self.setParent(over)
        width, height = self.needed_width(), self.needed_height()
        left = max(4, min(corner.x() - width, over.width() - width - 4))
        top = max(4, min(corner.y(), over.height() - height - 4))
        self.setGeometry(left, top, width, height)
        self.place()
        self.show()
        self.raise_()
        if self.rows:
            self.rows[0].setFocus(Qt.FocusReason.PopupFocusReason)

    def needed_height(self) -> int:
        """Height of title and rows, in pixels."""
        return 2 * _PADDING + self.look.line + 6 + len(self.rows) * self._row_height()

    def needed_width(self) -> int:
        """Width that its longest row takes, in pixels."""
        font = self.look.small
        widths = [
            max(
                ink.width_of(font, row.remedy.change.words) + 24 + ink.width_of(font, row.saving),
                ink.width_of(font, row.remedy.change.price),
            )
            for row in self.rows
        ]
        return max(widths, default=200) + 2 * _PADDING + 16

    def place(self) -> None:
        top = _PADDING + self.look.line + 6
        for number, row in enumerate(self.rows):
            y = top + number * self._row_height()
            row.setGeometry(QRect(_PADDING - 4, y, self.width() - 2 * _PADDING + 8,
                                  self._row_height() - 2))  # fmt: skip

    def set_look(self, look: Look) -> None:
        for row in self.rows:
            row.set_look(look)
        super().set_look(look)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.hide()
        elif self.group.key(event) is None:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look = QPainter(self), self.look
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        ink.rounded(painter, box, look.colour("surface"), 8.0)
        painter.setPen(look.colour("faint"))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(box, 8.0, 8.0)
        painter.setFont(look.bold)
        painter.setPen(look.colour("text"))
        title = QRect(_PADDING + 2, _PADDING - 2, self.width() - 2 * _PADDING, look.line + 4)
        ink.put(painter, title, "What lowers the peak")

    def _row_height(self) -> int:
        return 2 * self.look.line + 6

    def _choose(self, row: RemedyRow) -> None:
        self.hide()
        self.chosen.emit(row.remedy.change)

    def _focus_moved(self, new: object) -> None:
        inside = isinstance(new, QWidget) and (new is self or self.isAncestorOf(new))
        if self.isVisible() and new is not None and not inside:
            self.hide()
