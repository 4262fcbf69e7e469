"""Parameters: the donut, its table, the formula of what is pointed at, and the way into a block."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QKeyEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QToolTip, QWidget

from engine.cost.claims import checked_claims, preset_like
from engine.cost.parameters import ParameterCount
from engine.presets import Preset
from engine.spec import ModelSpec
from engine.words import exact_count, short_count
from trickster_gui.cost import ink
from trickster_gui.cost.claims_list import ClaimsList
from trickster_gui.cost.donut import Donut, slice_colours
from trickster_gui.cost.ink import Look, Part
from trickster_gui.cost.rows import FlatButton, Row, RowGroup
from trickster_gui.cost.slices import (
    Ring,
    Slice,
    block_ring,
    model_ring,
    share_text,
    share_words,
)

_MOST_ROWS = 9
_LONGEST_COUNT = 14


class SliceRow(Row):
    """One row of the table: colour, name, shape, exact count, percent."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(look, parent)
        self._piece: Slice | None = None
        self._colour = QColor()

    @property
    def piece(self) -> Slice | None:
        """The slice shown; None when the row is unused."""
        return self._piece

    def show_slice(self, piece: Slice, colour: QColor, ring: Ring) -> None:
        """Show one slice of ``ring``."""
        if (piece, colour) == (self._piece, self._colour):
            return
        self._piece, self._colour = piece, colour
        self.copy_text = str(piece.count)
        count = exact_count(piece.count)
        self.setAccessibleName(f"{piece.name}: {count} parameters, {share_words(piece, ring)}")
        self.setAccessibleDescription(piece.formula)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        piece, painter, look = self._piece, self.begin(), self.look
        if piece is None:
            return
        painter.setFont(look.small)
        area = self.rect().adjusted(5, 0, -5, 0)
        ink.colour_mark(painter, area, self._colour)
        there = "text" if piece.count else "faint"
        painter.setPen(look.colour(there))
        percents = ink.width_of(look.small, "00.00 %") + 10
        counts = QRect(area.left(), area.top(), area.width() - percents, area.height())
        ink.put(painter, area.adjusted(15, 0, 0, 0), piece.name)
        ink.put(painter, counts, _count_text(piece.count), ink.RIGHT)
        painter.setPen(look.colour("muted" if piece.count else "faint"))
        ink.put(painter, area, share_text(piece.share) if piece.count else "–", ink.RIGHT)
        left = area.left() + 15 + ink.width_of(look.small, piece.name) + 4
        right = counts.right() - ink.width_of(look.small, "000,000,000") - 6
        room = QRect(left, area.top(), right - left, area.height())
        shape = self._shape_for(room.width())
        if shape:
            ink.put(painter, room, shape, ink.RIGHT)

    def _shape_for(self, room: int) -> str:
        """The shape, closed up where space is short; the formula tells it where there is none."""
        assert self._piece is not None
        spaced = self._piece.shape
        for text in (spaced, spaced.replace(" × ", "×")):
            if ink.width_of(self.look.small, text) <= room:
                return text
        return ""


class ClaimsButton(FlatButton):
    """Says in the title's line what the source of the preset prints; says nothing otherwise.

    It stays where it is while it has nothing to say: hiding it would ask for a new layout.
    """

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(look, parent, quiet=True)
        self._words = ""
        self.say((), QRect())
        self.explain(
            "Shows every figure that the source of this preset prints beside the exact one, with "
            "the reason why they differ."
        )

    def text(self) -> str:
        """What it says now."""
        return self._words

    def say(self, choices: tuple[str, ...], room: QRect) -> None:
        """Say the first of these that fits, at the right end of ``room``.

        Without any, be neither seen nor reached.
        """
        widths = {words: ink.width_of(self.look.small, words) + 8 for words in choices}
        words = next((words for words in choices if widths[words] <= room.width()), "")
        if words != self._words or bool(words) != self.isEnabled():
            self._words = words
            self.setEnabled(bool(words))
            self.setAccessibleName(choices[0].removesuffix(" ›") if choices else "")
            self.update()
        if words:
            self.setGeometry(room.adjusted(room.width() - widths[words], 0, 0, 0))

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._words:
            super().paintEvent(event)


class ParametersPanel(Part):
    """All that is said about parameters. ``in_block`` is where the breadcrumbs stand."""

    entered_block = Signal(bool)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        self.in_block = False
        self._spec: ModelSpec | None = None
        self._count: ParameterCount | None = None
        self._pointed = -1
        self._said = ("", "")
        self._detail = QRect()
        self.donut = Donut(look, self)
        self.rows = [SliceRow(look, self) for _ in range(_MOST_ROWS)]
        self.group = RowGroup(self.rows)
        self.back = FlatButton(look, self, "‹ Model", quiet=True)
        self.back.setAccessibleName("Back to the whole model")
        self.back.explain("Shows the whole model by component again (Esc).")
        self.back.hide()
        self.back.clicked.connect(self.leave_block)
        self._preset: Preset | None = None
        self.claims = ClaimsButton(look, self)
        self.claims.clicked.connect(self.open_claims)
        self.claims_list = ClaimsList(look, self)
        self.donut.pointed.connect(self._point_at)
        self.donut.pressed.connect(self._press)
        self.donut.centre_pressed.connect(self.copy_total)
        for index, row in enumerate(self.rows):
            row.pointed.connect(lambda on, index=index: self._row_pointed(index, on))
            row.clicked.connect(lambda _=False, index=index: self._press(index))
        self.setAccessibleName("Parameters")

    def show_model(self, spec: ModelSpec, count: ParameterCount) -> None:
        """Show the parameters of a valid design."""
        self._spec, self._count = spec, count
        self._preset = preset_like(spec)
        self._say_claims()
        self._show_ring(unfold=False)

    def enter_block(self) -> None:
        """Show one block's weights instead of the model's components."""
        self._go(True)

    def leave_block(self) -> None:
        """Back to the whole model."""
        self._go(False)

    def open_claims(self) -> None:
        """Show what the source of this preset prints beside what is exact."""
        if self._preset is not None and self.claims.isEnabled():
            corner = self.claims.mapToGlobal(QPoint(0, self.claims.height() + 4))
            window = self.window()
            right = window.mapToGlobal(QPoint(window.width() - 8, 0)).x()
            self.claims_list.open_for(self._preset, corner, right)

    def _say_claims(self) -> None:
        """The first figure that the preset's source prints, as long as the design is still that.

        In the line of the title, to its right.
        """
        found = checked_claims(self._preset) if self._preset is not None else ()
        if self._preset is None or not found or self.look.dim:
            self.claims.say((), QRect())
            return
        said = f"{self._preset.printed_by} prints {found[0].printed}"
        choices = (
            f"{said}: exact {found[0].exact.text} ›", f"{said} ›", f"Printed: {found[0].printed} ›",
        )  # fmt: skip
        left = ink.width_of(self.look.bold, self._title()) + 14
        left += self.back.width() + 6 if self.in_block else 0
        room = QRect(left, 0, max(0, self.width() - left), self.look.line + 4)
        self.claims.say(choices, room)

    def copy_total(self) -> None:
        """Put the exact total on the clipboard and say so."""
        if self.donut.ring.total:
            QGuiApplication.clipboard().setText(str(self.donut.ring.total))
            at = self.donut.mapToGlobal(self.donut.rect().center())
            QToolTip.showText(at, f"Copied {self.donut.ring.total}", self.donut, QRect(), 1_500)

    @property
    def detail_text(self) -> str:
        """What the reserved space beside the donut says, line by line."""
        ring = self.donut.ring
        if not 0 <= self._pointed < len(ring.slices):
            return self._resting_text()
        piece = ring.slices[self._pointed]
        lines = [piece.name, exact_count(piece.count)]
        if piece.count:
            lines.append(share_words(piece, ring))
        return "\n".join([*lines, piece.formula])

    def set_look(self, look: Look) -> None:
        self.donut.set_look(look)
        self.back.set_look(look)
        self.claims.set_look(look)
        self.claims_list.set_look(look)
        for row in self.rows:
            row.set_look(look)
        super().set_look(look)
        self._show_ring(unfold=False)

    def place(self) -> None:
        """Donut and detail above, the table below; rows keep their height while dragging."""
        line = self.look.line
        title = line + 8
        shown = max(1, len(self.donut.ring.slices))
        table = max(line, min(line + 8, (self.height() - title) * 42 // 100 // shown)) * shown
        side = max(100, min(self.height() - title - table - 6, self.width() * 55 // 100))
        self.donut.setGeometry(0, title, side, side)
        self._detail = QRect(side + 12, title + 6, self.width() - side - 12, side - 8)
        top = title + side + 6
        height = min(line + 8, (self.height() - top) // shown)
        for index, row in enumerate(self.rows):
            row.setGeometry(0, top + index * height, self.width(), height)
            row.setVisible(index < len(self.donut.ring.slices))
        self.back.setGeometry(0, 0, self.back.sizeHint().width(), line + 4)
        self._say_claims()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.place()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Backspace) and self.in_block:
            self.leave_block()
        elif self.group.key(event) is None:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look = QPainter(self), self.look
        self._paint_title(painter)
        if not event.region().intersects(self._detail):
            return
        painter.setOpacity(look.opacity)
        lines = self.detail_text.split("\n")
        area = QRect(self._detail)
        pointed = 0 <= self._pointed < len(self.donut.ring.slices)
        for number, text in enumerate(lines):
            first = pointed and number == 0
            painter.setFont(look.bold if first else look.small)
            painter.setPen(look.colour("text" if pointed and number < 2 else "muted"))
            used = painter.boundingRect(area, _WRAPPED, ink.unbroken(text))
            ink.put(painter, area, text, ink.Align.AlignTop, wrap=True)
            area.setTop(used.bottom() + (4 if number != 2 else 7))

    def _paint_title(self, painter: QPainter) -> None:
        look = self.look
        area = QRect(0, 0, self.width(), look.line + 4)
        painter.setFont(look.bold)
        painter.setPen(look.colour("text"))
        left = self.back.width() + 6 if self.in_block else 0
        ink.put(painter, area.adjusted(left, 0, 0, 0), self._title())

    def _title(self) -> str:
        if not self.in_block:
            return "Parameters"
        layers = self._spec.num_layers if self._spec else 0
        return f"/  One of {layers:,} blocks" if layers > 1 else "/  The block"

    def _resting_text(self) -> str:
        if self._spec is None or self._count is None:
            return "The parameters of your design appear here."
        blocks = "1 block" if self._spec.num_layers == 1 else f"{self._spec.num_layers:,} blocks"
        one = short_count(sum(self._count.block.values()))
        if self.in_block:
            return "Point at a weight for its shape and count.\nEsc goes back to the model."
        return (
            f"{blocks} of {one} each.\nPoint at a part for its formula. Click it to open a block."
        )

    def _go(self, into: bool) -> None:
        if into == self.in_block or self._count is None:
            return
        had_focus = any(row.hasFocus() for row in self.rows) or self.back.hasFocus()
        self.in_block = into
        self._pointed = -1
        self.back.setVisible(into)
        self._show_ring(unfold=True)
        self.place()
        if had_focus:
            self.rows[0].setFocus(Qt.FocusReason.OtherFocusReason)
        self.entered_block.emit(into)

    def _show_ring(self, *, unfold: bool) -> None:
        if self._spec is None or self._count is None:
            return
        make = block_ring if self.in_block else model_ring
        ring = make(self._spec, self._count)
        before = len(self.donut.ring.slices)
        self.donut.show_ring(ring, unfold=unfold)
        colours = slice_colours(ring.slices, self.look)
        for row, piece, colour in zip(self.rows, ring.slices, colours, strict=False):
            row.show_slice(piece, colour, ring)
        if before != len(ring.slices):
            self.place()
            self.update()
        elif self._said != (self.detail_text, self._title()):
            self.update(self._detail)
            self.update(0, 0, self.width(), self.look.line + 4)
        self._said = (self.detail_text, self._title())

    def _press(self, index: int) -> None:
        if self.donut.ring.slices[index].opens:
            self.enter_block()
        else:
            self.rows[index].copy()

    def _row_pointed(self, index: int, on: bool) -> None:
        if on:
            self._point_at(index)
        elif self._pointed == index:
            focused = next((i for i, row in enumerate(self.rows) if row.hasFocus()), -1)
            self._point_at(focused)

    def _point_at(self, index: int) -> None:
        if index < 0:
            index = next((i for i, row in enumerate(self.rows) if row.hasFocus()), -1)
        if index == self._pointed:
            return
        self._pointed = index
        self.donut.light(index)
        for number, row in enumerate(self.rows):
            if row.lit != (number == index):
                row.lit = number == index
                row.update()
        self.update(self._detail)


_WRAPPED = int(ink.Align.AlignTop.value) | int(Qt.TextFlag.TextWordWrap.value)


def _count_text(count: int) -> str:
    text = exact_count(count)
    return text if len(text) <= _LONGEST_COUNT else short_count(count)
