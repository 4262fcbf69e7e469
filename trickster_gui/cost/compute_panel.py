"""Compute and time: where the arithmetic goes, what use costs, how long the run takes."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QRectF, Signal
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPainterPath, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QWidget

from engine.cost.cache import WEIGHT_FORMATS
from engine.cost.evaluation import Cost
from engine.devices.card import Device
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.cost import ink
from trickster_gui.cost.figures import (
    PART_COMPONENTS,
    PART_NAMES,
    Figure,
    inference_figure,
    part_figures,
    size_figures,
    time_lines,
    token_figure,
)
from trickster_gui.cost.ink import Look, Part
from trickster_gui.cost.memory_rows import short_name
from trickster_gui.cost.rows import FigureRow, FlatButton, Row, RowGroup, stack
from trickster_gui.cost.what_if import WhatIf

_SIZES = ("Training a token", "Whole run", "KV cache a token", "KV at full context", "Checkpoint")
_BAR = 11
_GAUGE = 6
_FORMATS = WEIGHT_FORMATS


class TokenRow(FigureRow):
    """Tokens of the run beside the compute-optimal number, with a gauge below the words."""

    fraction = 0.0

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter, look = QPainter(self), self.look
        painter.setOpacity(look.opacity)
        track = QRectF(4, self.height() - _GAUGE - 1, self.width() - 8, _GAUGE)
        ink.rounded(painter, track, look.colour("border"), 3.0)
        filled = QRectF(track)
        filled.setWidth(max(3.0, track.width() * min(1.0, self.fraction)))
        ink.rounded(painter, filled, look.colour("accent"), 3.0)

    def words_area(self) -> QRect:
        return self.rect().adjusted(4, 0, -4, -_GAUGE - 2)


class TimeRow(FigureRow):
    """The predicted time: where, how long, how sure."""

    sure = ""

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look, line = self.begin(), self.look, self.look.line
        area = self.rect().adjusted(4, 0, -4, 0)
        area.setHeight(line)
        painter.setFont(look.small)
        painter.setPen(look.colour("muted"))
        ink.put(painter, area, self.name)
        area.moveTop(line)
        area.setHeight(line + 5)
        painter.setFont(look.large)
        painter.setPen(look.colour("text"))
        ink.put(painter, area, self.value)
        area.moveTop(2 * line + 5)
        area.setHeight(line)
        painter.setFont(look.small)
        painter.setPen(look.colour("muted"))
        ink.put(painter, area, self.sure)


class ComputePanel(Part):
    """A slim bar of training FLOPs, figures, the token gauge, the predicted time, what-ifs."""

    what_if_shown = Signal()

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        self._cost: Cost | None = None
        self._parts: dict[str, int] = {}
        self._format = _FORMATS.index("bf16")
        self.parts = {part: FigureRow(look, self, name) for part, name in PART_NAMES.items()}
        self.sizes = {name: FigureRow(look, self, name) for name in _SIZES}
        self.inference = FigureRow(look, self, "")
        self.inference.clicked.disconnect()
        self.inference.clicked.connect(self._next_format)
        self.tokens = TokenRow(look, self, "Tokens / optimal")
        self.time = TimeRow(look, self, "Time")
        self.group = RowGroup(self._rows())
        self.what_if = WhatIf(look, self)
        self.what_if.shown.connect(self.what_if_shown)
        self.more = FlatButton(look, self, "What if it were twice as big?")
        self.more.explain("What twice the context, width or depth would cost, beside this design.")
        self.more.clicked.connect(self._open_what_if)
        self._inline = False
        self._mark_parts()
        self.setAccessibleName("Compute and time")

    def show_cost(
        self, spec: ModelSpec, run: RunSpec, cost: Cost, device: Device | None, measuring: bool
    ) -> None:
        """Show the figures of a valid design on ``device``."""
        self._cost = cost
        for part, figure in part_figures(cost).items():
            _show(self.parts[part], figure)
        for name, figure in size_figures(spec, run, cost).items():
            _show(self.sizes[name], figure)
        self._show_format()
        fraction = cost.run_tokens / cost.optimal_tokens
        if fraction != self.tokens.fraction:
            self.tokens.fraction = fraction
            self.tokens.update()
        _show(self.tokens, token_figure(cost))
        value, sure, why = time_lines(device, cost.total_seconds, measuring)
        self.time.name = f"Time on {short_name(device)}" if device is not None else "Time"
        if sure != self.time.sure:
            self.time.sure = sure
            self.time.update()
        exact = "" if cost.total_seconds is None else f"{cost.total_seconds.seconds:.3f}"
        self.time.show_figure(value, exact, f"{run.steps:,} steps, validation and samples. {why}")
        self.time.setAccessibleName(f"{self.time.name}: {value}, {sure}")
        if cost.flops.parts != self._parts:
            self._parts = cost.flops.parts
            self.update(0, 0, self.width(), 2 * self.look.line + _BAR)

    def stops(self) -> list[QWidget]:
        """What the keyboard reaches, in order."""
        return [*self._rows(), self.more, self.what_if]

    def set_look(self, look: Look) -> None:
        for row in self._rows():
            row.set_look(look)
        self.more.set_look(look)
        self.what_if.set_look(look)
        self._mark_parts()
        super().set_look(look)

    def place(self) -> None:
        """From the top down; the table of what-ifs is inline where there is room for it."""
        line = self.look.line
        table = self.what_if.needed_height()
        least = self._needed(line)
        self._inline = (
            self.height() >= least + 8 + table and self.width() >= self.what_if.needed_width()
        )
        spare = self.height() - least - (table + 8 if self._inline else line + 6)
        height = line + max(0, min(6, spare // 12))
        y = stack(list(self.parts.values()), QRect(0, 2 * line + _BAR - 2, self.width(), 0), height)
        figures = [*self.sizes.values(), self.inference]
        y = stack(figures, QRect(0, y + 4, self.width(), 0), height)
        self.tokens.setGeometry(0, y + 3, self.width(), line + _GAUGE + 3)
        y += line + _GAUGE + 9
        self.time.setGeometry(0, y, self.width(), 3 * line + 5)
        y += 3 * line + 9
        self.more.setVisible(not self._inline)
        self.more.setGeometry(0, min(y + 6, self.height() - line - 6), self.width(), line + 6)
        if self._inline:
            self.what_if.embed(self, QRect(0, y + 2, self.width(), table))
        else:
            self.what_if.detach()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.place()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self.group.key(event) is None:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look = QPainter(self), self.look
        line = look.line
        painter.setFont(look.bold)
        painter.setPen(look.colour("text"))
        ink.put(painter, QRect(4, 0, self.width() - 4, line + 4), "Compute and time")
        painter.setOpacity(look.opacity)
        if self._cost is None:
            return
        bar = QRectF(4, line + 8, self.width() - 8, _BAR)
        shape = QPainterPath()
        shape.addRoundedRect(bar, 3.0, 3.0)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipPath(shape)
        flops, x = self._cost.flops, bar.left()
        for part, number in flops.parts.items():
            width = bar.width() * number / flops.training
            area = QRectF(x, bar.top(), width, bar.height())
            colour = ink.parsed(look.theme.components[PART_COMPONENTS[part]])
            if part == "scores":
                ink.fill_hatched(painter, area, colour)
            else:
                painter.fillRect(area, colour)
            x += width

    def _needed(self, line: int) -> int:
        rows = len(self.parts) + len(self.sizes) + 1
        return 2 * line + _BAR - 2 + rows * line + 4 + line + _GAUGE + 9 + 3 * line + 9

    def _rows(self) -> list[Row]:
        return [*self.parts.values(), *self.sizes.values(), self.inference, self.tokens, self.time]

    def _mark_parts(self) -> None:
        for part, row in self.parts.items():
            row.mark = QColor(self.look.theme.components[PART_COMPONENTS[part]])
            row.hatched = part == "scores"

    def _next_format(self) -> None:
        self._format = (self._format + 1) % len(_FORMATS)
        self._show_format()

    def _show_format(self) -> None:
        self.inference.name = f"To use it, in {_FORMATS[self._format]}"
        if self._cost is not None:
            _show(self.inference, inference_figure(self._cost, _FORMATS[self._format]))

    def _open_what_if(self) -> None:
        over = self.parentWidget() or self
        corner = self.more.mapTo(over, self.more.rect().topRight())
        self.what_if.pop_up(over, corner - QPoint(0, 4))


def _show(row: FigureRow, figure: Figure) -> None:
    row.show_figure(figure.value, figure.exact, figure.meaning)
