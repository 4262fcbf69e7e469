"""Training memory: what a step holds at its fullest, and every device's verdict on it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from PySide6.QtCore import QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import (
    QFont,
    QFontMetrics,
    QKeyEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QRegion,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from engine.cost.fit import Fit
from engine.cost.memory import TrainingMemory
from engine.cost.remedies import Remedy
from engine.cost.tape import KINDS
from engine.devices.card import Device
from engine.words import binary_bytes, exact_count, percent
from trickster_gui.cost import ink
from trickster_gui.cost.ink import Look, Part
from trickster_gui.cost.memory_rows import (
    KIND_NAMES,
    DeviceRow,
    capacity_text,
    compact_bytes,
    fill_kinds,
)
from trickster_gui.cost.remedy_list import RemedyList
from trickster_gui.cost.rows import FlatButton, RowGroup

_BAR = 11
_LEGEND_COLUMNS = 3
_REASON_LINES = 4


class MemoryPanel(Part):
    """Composition, legend, one row a device, the chosen device's reason and two buttons."""

    device_selected = Signal(str)
    batch_wanted = Signal()
    context_wanted = Signal()
    change_wanted = Signal(object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        self.rows: list[DeviceRow] = []
        self.group = RowGroup()
        self._memory: TrainingMemory | None = None
        self._per_chip = False
        self._selected = ""
        self._pointed: DeviceRow | None = None
        self._first = 0
        self._reason = QRect()
        self._said = ""
        self.batch = FlatButton(look, self)
        self.context = FlatButton(look, self)
        self.batch.explain(
            "Sets the batch size to the largest whose training step fits the chosen device."
        )
        self.context.explain(
            "Sets the context, and the length of training sequences with it, to the longest whose "
            "training step fits the chosen device with this batch."
        )
        self.batch.clicked.connect(self.batch_wanted)
        self.context.clicked.connect(self.context_wanted)
        self.lighten = FlatButton(look, self, quiet=True)
        self.lighten.explain("What would lower the peak, by how much, and what each costs instead.")
        self.lighten.clicked.connect(self._open_remedies)
        self.remedies = RemedyList(look, self)
        self.remedies.chosen.connect(self.change_wanted)
        self.show_limits(None, None)
        self.show_remedies((), 1)
        self.setAccessibleName("Training memory")

    @property
    def selected(self) -> str:
        """Name of the chosen device; empty when it is not among the rows."""
        return self._selected

    def set_devices(self, devices: Sequence[Device]) -> None:
        """One row for each device, in this order; rows stay where only their figures change."""
        if [row.device.name for row in self.rows] == [device.name for device in devices]:
            for row, device in zip(self.rows, devices, strict=True):
                row.set_device(device)
            return
        for row in self.rows:
            row.hide()
            row.deleteLater()
        self.rows = [DeviceRow(self.look, self, device) for device in devices]
        self._pointed, self._first = None, 0
        for row in self.rows:
            row.clicked.connect(lambda _=False, row=row: self._choose(row))
            row.pointed.connect(lambda on, row=row: self._point_at(row, on))
        self.group.set_rows(self.rows)
        self.select(self._selected)
        self.place()

    def select(self, name: str) -> None:
        """Emphasise a device and tell its reason."""
        self._selected = name
        for row in self.rows:
            row.select(row.device.name == name)
            if row.selected:
                self.group.set_entry(row)
        self._update_words()

    def show_memory(self, memory: TrainingMemory, fits: Sequence[Fit]) -> None:
        """Show a training step: what it takes of the chosen device's chip, and each device's
        verdict."""
        self._memory, self._per_chip = memory, False
        for row, fit in zip(self.rows, fits, strict=True):
            row.show_fit(fit)
            if row.selected:
                self._per_chip = row.device.chips > 1
        words = composition_words(self._memory)
        if words != self.toolTip():
            self.setToolTip(words)
            self.setAccessibleDescription(words)
            # Without the button that lies there: it would be drawn anew at each tick of a drag.
            above = QRegion(0, 0, self.width(), self._rows_top())
            self.update(above.subtracted(QRegion(self.lighten.geometry())))
        self._update_words()

    def _update_words(self) -> None:
        """Paint the reason again where it says something else now."""
        if self.reason_text != self._said:
            self._said = self.reason_text
            self.update(self._reason)

    def show_limits(self, batch: int | None, context: int | None, waiting: bool = False) -> None:
        """Say what fits the chosen device at most; None: nothing does; waiting: being computed."""
        self._say(self.batch, "Largest batch", batch, waiting)
        self._say(self.context, "Largest context", context, waiting)

    def show_remedies(
        self, remedies: Sequence[Remedy], now_bytes: int, waiting: bool = False
    ) -> None:
        """Say what would lower the peak of ``now_bytes`` most; waiting: being worked out."""
        if waiting:
            self.remedies.hide()
            self.lighten.setEnabled(False)
            return
        best = remedies[0].saved_bytes / now_bytes if remedies else 0.0
        text = f"Lower it: \N{MINUS SIGN}{percent(best)}" if remedies else ""
        self.lighten.setText(text)
        self.lighten.setAccessibleName(f"Lower the peak: up to {percent(best)} less")
        self.lighten.setEnabled(bool(remedies))
        self.lighten.setVisible(bool(remedies))
        self.remedies.show_remedies(remedies, now_bytes)

    def _open_remedies(self) -> None:
        over = self.parentWidget() or self
        corner = self.lighten.mapTo(over, self.lighten.rect().bottomRight())
        self.remedies.pop_up(over, corner + QPoint(0, 4))

    @property
    def reason_text(self) -> str:
        """What the reserved lines say: about the device pointed at, else about the chosen one.

        The title gives way first where all of it would not fit, then the sentence that repeats
        the composition above.
        """
        chosen = next((row for row in self.rows if row.selected), None)
        row = self._pointed or chosen
        if row is None:
            return "Choose a device to see what limits it."
        if row.fit is None:
            return row.device.title
        capacity, reason = capacity_text(row.device), row.fit.reason
        full = f"{row.device.title}: {capacity}. {reason}"
        shorter = f"{capacity}. {reason}"
        shortest = f"{capacity}. {reason.partition('. ')[2] or reason}"
        return next((text for text in (full, shorter) if self._fits(text)), shortest)

    def _fits(self, text: str) -> bool:
        font, area = self.look.small, self._reason
        return _wrapped_height(font, ink.unbroken(text), area.width()) <= area.height()

    @property
    def peak_text(self) -> str:
        """The most that a step holds, and when."""
        if self._memory is None:
            return ""
        chip = " a chip" if self._per_chip else ""
        return f"Peak {binary_bytes(self._memory.peak_bytes)}{chip} · {self._memory.peak_phase}"

    def set_look(self, look: Look) -> None:
        for row in self.rows:
            row.set_look(look)
        for part in (self.batch, self.context, self.lighten, self.remedies):
            part.set_look(look)
        super().set_look(look)

    def place(self) -> None:
        """Title, composition and legend above; reason and buttons below; rows between them."""
        line, top = self.look.line, self._rows_top()
        button = line + 6
        lines = QFontMetrics(self.look.small).lineSpacing() * _REASON_LINES + 2
        room = self.height() - top - lines - button - 12
        y = self._place_rows(QRect(0, top, self.width(), room)) + 4
        self._reason = QRect(0, y, self.width(), lines)
        width = (self.width() - 8) // 2
        for index, widget in enumerate((self.batch, self.context)):
            widget.setGeometry(index * (width + 8), y + lines + 4, width, button)
        self.lighten.setGeometry(self._place_of_lighten())

    def _place_of_lighten(self) -> QRect:
        """The empty cell at the end of a legend of two lines, else beside the title."""
        line = self.look.line
        width = ink.width_of(self.look.small, "Lower it: \N{MINUS SIGN}99.9 %") + 6
        if self._legend_lines() > 1:
            cells = self._legend_cells(line + 8 + _BAR + 5)
            above = cells[_LEGEND_COLUMNS - 1]
            return QRect(above.left() + 11, cells[-1].top() - 1, width, line + 2)
        left = ink.width_of(self.look.bold, "Training memory") + 14
        return QRect(left, 1, width, line + 2)

    def _rows_top(self) -> int:
        line = self.look.line
        return 2 * line + _BAR + 4 + line * self._legend_lines() + 4

    def _place_rows(self, area: QRect) -> int:
        """Place the rows that fit and hide the others; return the y below them."""
        least = self.look.line + 1
        shown = max(1, min(len(self.rows), area.height() // least))
        height = min(2 * self.look.line, area.height() // shown)
        self._first = max(0, min(self._first, len(self.rows) - shown))
        for index, row in enumerate(self.rows):
            at = index - self._first
            row.setVisible(0 <= at < shown)
            row.setGeometry(0, area.top() + at * height, area.width(), height)
        return area.top() + shown * height

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.place()

    def wheelEvent(self, event: QWheelEvent) -> None:
        hidden = any(row.isHidden() for row in self.rows)
        if not hidden:
            event.ignore()
            return
        self._first += -1 if event.angleDelta().y() > 0 else 1
        self.place()
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys move among the devices and bring hidden ones into view."""
        at = next((i for i, row in enumerate(self.rows) if row.hasFocus()), 0)
        step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()), 0)
        if 0 <= at + step < len(self.rows) and self.rows[at + step].isHidden():
            self._first += step
            self.place()
            self.update()
        if self.group.key(event) is None:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look = QPainter(self), self.look
        line = look.line
        title = QRect(0, 0, self.width(), line + 4)
        painter.setFont(look.bold)
        painter.setPen(look.colour("text"))
        ink.put(painter, title, "Training memory")
        painter.setOpacity(look.opacity)
        if self._memory is not None and event.rect().top() < self._rows_top():
            self._paint_composition(painter, self._memory)
        if event.region().intersects(self._reason):
            painter.setFont(look.small)
            painter.setPen(look.colour("muted"))
            ink.put(painter, self._reason, self.reason_text, ink.Align.AlignTop, wrap=True)
        self._paint_more(painter)

    def _paint_composition(self, painter: QPainter, memory: TrainingMemory) -> None:
        look, line = self.look, self.look.line
        painter.setFont(look.small)
        painter.setPen(look.colour("muted"))
        ink.put(painter, QRect(0, 0, self.width(), line + 4), self.peak_text, ink.RIGHT)
        bar = QRectF(0, line + 8, self.width(), _BAR)
        path = QPainterPath()
        path.addRoundedRect(bar, 3.0, 3.0)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipPath(path)
        fill_kinds(painter, bar, bar.width(), memory.at_peak, look, bar.right())
        painter.restore()
        top = int(bar.bottom()) + 5
        for kind, area in zip(KINDS, self._legend_cells(top), strict=True):
            ink.colour_mark(painter, area, ink.parsed(look.theme.memory[kind]))
            painter.setPen(look.colour("muted"))
            ink.put(painter, area.adjusted(13, 0, 0, 0), KIND_NAMES[kind])
            painter.setPen(look.colour("text" if memory.at_peak[kind] else "faint"))
            ink.put(painter, area, compact_bytes(memory.at_peak[kind]), ink.RIGHT)

    def _legend_cells(self, top: int) -> list[QRect]:
        """One cell a kind: as wide as its longest words, what is left spread between them."""
        look, columns = self.look, self._legend_columns()
        value = ink.width_of(look.small, "00.0 MiB") + 13 + 4
        names = [ink.width_of(look.small, KIND_NAMES[kind]) for kind in KINDS]
        widths = [max(names[column::columns]) + value for column in range(columns)]
        gap = max(4, min(32, (self.width() - sum(widths)) // max(1, columns - 1)))
        lefts = [sum(widths[:column]) + column * gap for column in range(columns)]
        return [
            QRect(
                lefts[i % columns], top + i // columns * look.line, widths[i % columns], look.line
            )
            for i in range(len(KINDS))
        ]

    def _paint_more(self, painter: QPainter) -> None:
        """A thin mark on the right while some devices are scrolled out of sight."""
        shown = [row for row in self.rows if not row.isHidden()]
        if not shown or len(shown) == len(self.rows):
            return
        top = shown[0].y()
        height = shown[-1].geometry().bottom() - top
        part = QRectF(
            self.width() - 3,
            top + height * self._first / len(self.rows),
            3,
            height * len(shown) / len(self.rows),
        )
        ink.rounded(painter, part, self.look.colour("faint"), 1.5)

    def _legend_columns(self) -> int:
        return 5 if self.width() > 46 * self.look.line else _LEGEND_COLUMNS

    def _legend_lines(self) -> int:
        return -(-len(KINDS) // self._legend_columns())

    def _say(self, button: FlatButton, what: str, value: int | None, waiting: bool) -> None:
        number = "none" if value is None else exact_count(value)
        text = f"{what} that fits: {number}"
        button.setAccessibleName(text)
        longest = ink.width_of(button.look.small, "Largest context that fits: 0,000,000")
        button.setText(text if longest <= button.width() - 8 else f"{what}: {number}")
        button.setEnabled(value is not None and not waiting)

    def _choose(self, row: DeviceRow) -> None:
        self.select(row.device.name)
        self.device_selected.emit(row.device.name)

    def _point_at(self, row: DeviceRow, on: bool) -> None:
        focused = next((other for other in self.rows if other.hasFocus()), None)
        self._pointed = row if on else focused
        self._update_words()


def composition_words(memory: TrainingMemory) -> str:
    """What the step holds at its peak and the size of each phase, to the byte."""
    lines = [f"At the peak, {memory.peak_phase}: {exact_count(memory.peak_bytes)} bytes"]
    lines += [f"{KIND_NAMES[kind]}: {exact_count(memory.at_peak[kind])}" for kind in KINDS]
    lines.append("")
    lines += [f"{phase.name}: {exact_count(phase.bytes)} bytes" for phase in memory.phases]
    return "\n".join(lines)


@lru_cache(maxsize=64)
def _wrapped_height(font: QFont, text: str, width: int) -> int:
    flags = ink.Align.AlignTop.value | Qt.TextFlag.TextWordWrap.value
    return QFontMetrics(font).boundingRect(QRect(0, 0, width, 10_000), flags, text).height()
