"""Rows and buttons that can be pointed at, focused, pressed and copied."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QEnterEvent,
    QFocusEvent,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import QAbstractButton, QToolTip, QWidget

from trickster_gui.cost import ink
from trickster_gui.cost.ink import Look


class Row(QAbstractButton):
    """A line of a table: one thing to point at, focus, press and copy.

    ``pointed`` says True when the mouse or the keyboard comes, False when it goes. Arrow keys
    move among the rows of one ``RowGroup``; Tab leaves the group.
    """

    pointed = Signal(bool)

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self.look = look
        self.copy_text = ""
        self.lit = False
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)

    def set_look(self, look: Look) -> None:
        """Take new colours or fonts and paint again."""
        self.look = look
        self.update()

    def copy(self) -> None:
        """Put the exact figure on the clipboard and say so."""
        if self.copy_text:
            QGuiApplication.clipboard().setText(self.copy_text)
            below = self.mapToGlobal(self.rect().bottomLeft())
            QToolTip.showText(below, f"Copied {self.copy_text}", self, self.rect(), 1_500)

    def sizeHint(self) -> QSize:
        return QSize(120, self.look.line)

    def begin(self) -> QPainter:
        """A painter for this row, its background and focus ring drawn."""
        painter = QPainter(self)
        self.dress(painter)
        return painter

    def dress(self, painter: QPainter) -> None:
        """Draw the background and the focus ring; what follows is as strong as the look says."""
        if self.lit or self.underMouse():
            ink.rounded(painter, QRectF(self.rect()), self.look.colour("raised"), 4.0)
        if self.hasFocus():
            ink.focus_frame(painter, QRectF(self.rect()), self.look)
        painter.setOpacity(self.look.opacity)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy) and self.copy_text:
            self.copy()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        elif event.key() == Qt.Key.Key_Space:
            super().keyPressEvent(event)
        else:  # not to the button: it would make Tab of the arrow keys
            event.ignore()

    def enterEvent(self, event: QEnterEvent) -> None:
        self.pointed.emit(True)
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        self.pointed.emit(False)
        super().leaveEvent(event)
        self.update()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.pointed.emit(True)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.pointed.emit(False)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        raise NotImplementedError


class RowGroup:
    """Rows that share one stop of the Tab key; Up, Down, Home and End move among them."""

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self._rows: list[Row] = []
        self.set_rows(rows)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Take these rows, in the order of the arrow keys."""
        self._rows = list(rows)
        self.set_entry(self._rows[0] if self._rows else None)

    def set_entry(self, entry: Row | None) -> None:
        """The row that the Tab key reaches."""
        for row in self._rows:
            strong = row is entry
            row.setFocusPolicy(Qt.FocusPolicy.StrongFocus if strong else Qt.FocusPolicy.ClickFocus)

    def key(self, event: QKeyEvent) -> Row | None:
        """Move the focus if the key says so; return the row it went to."""
        steps = {
            Qt.Key.Key_Up: -1, Qt.Key.Key_Left: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_Right: 1,
            Qt.Key.Key_Home: -len(self._rows), Qt.Key.Key_End: len(self._rows),
        }  # fmt: skip
        step = steps.get(Qt.Key(event.key()))
        shown = [row for row in self._rows if not row.isHidden()]
        if step is None or not shown:
            return None
        at = next((i for i, row in enumerate(shown) if row.hasFocus()), 0)
        target = shown[max(0, min(len(shown) - 1, at + step))]
        self.set_entry(target)
        target.setFocus(Qt.FocusReason.OtherFocusReason)
        return target


class FlatButton(QAbstractButton):
    """A small button that keeps its size whatever it says, with a tint that says it can be pressed.

    ``quiet`` leaves the border out, for words inside a heading.
    """

    def __init__(self, look: Look, parent: QWidget, text: str = "", quiet: bool = False) -> None:
        super().__init__(parent)
        self.look = look
        self.quiet = quiet
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setText(text)

    def explain(self, text: str) -> None:
        """What pressing it does, for the mouse and for a screen reader."""
        self.setToolTip(text)
        self.setAccessibleDescription(text)

    def set_look(self, look: Look) -> None:
        """Take new colours or fonts and paint again."""
        self.look = look
        self.update()

    def sizeHint(self) -> QSize:
        room = 4 if self.quiet else 16
        return QSize(ink.width_of(self.look.small, self.text()) + room, self.look.line + 6)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        look, painter = self.look, QPainter(self)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        pressed = self.isDown()
        if not self.quiet or self.underMouse():
            fill = look.colour("border" if pressed else "raised")
            if self.underMouse() and self.isEnabled() and not pressed:
                fill = ink.mixed(fill, look.colour("accent"), 0.12)
            ink.rounded(painter, box, fill, 5.0)
        if not self.quiet:
            painter.setPen(look.colour("border"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box, 5.0, 5.0)
        painter.setFont(look.small)
        painter.setPen(look.colour("accent" if self.isEnabled() else "faint"))
        painter.setOpacity(look.opacity if not self.isEnabled() else 1.0)
        ink.put(painter, self.rect(), self.text(), ink.CENTRE)
        if self.hasFocus():
            ink.focus_frame(painter, QRectF(self.rect()), look, 5.0)


class FigureRow(Row):
    """One figure: what it is on the left, its value on the right, the exact number on demand."""

    def __init__(self, look: Look, parent: QWidget, name: str) -> None:
        super().__init__(look, parent)
        self.name = name
        self.value = ""
        self._shown: tuple[str, ...] = ()
        self.mark: QColor | None = None
        self.hatched = False
        self.clicked.connect(self.copy)

    def show_figure(self, value: str, exact: str, explanation: str) -> None:
        """Show ``value``; ``exact`` is copied; ``explanation`` is told on hover."""
        shown = (self.name, value, exact, explanation)
        if shown == self._shown:
            return
        self._shown = shown
        self.value, self.copy_text = value, exact
        self.setAccessibleName(f"{self.name}: {value}")
        self.setAccessibleDescription(explanation)
        self.setToolTip(explanation)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = self.begin()
        area = self.words_area()
        painter.setFont(self.look.small)
        if self.mark is not None:
            ink.colour_mark(painter, area, self.mark, self.hatched)
        painter.setPen(self.look.colour("muted"))
        room = area.adjusted(15 if self.mark else 0, 0, 0, 0)
        room.setRight(area.right() - ink.width_of(self.look.small, self.value) - 6)
        ink.put(painter, room, ink.elided(self.look.small, self.name, room.width()))
        painter.setPen(self.look.colour("text"))
        ink.put(painter, area, self.value, ink.RIGHT)

    def words_area(self) -> QRect:
        """Where the words stand."""
        return self.rect().adjusted(4, 0, -4, 0)


def stack(rows: Sequence[QWidget], area: QRect, height: int) -> int:
    """Place widgets one below the other from the top of ``area``; return the y below the last."""
    y = area.top()
    for row in rows:
        row.setGeometry(area.left(), y, area.width(), height)
        y += height
    return y
