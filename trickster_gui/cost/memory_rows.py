"""The bars of memory: what a training step holds, and how much of each device that fills."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPixmap, QPolygonF
from PySide6.QtWidgets import QWidget

from engine.cost.fit import Fit
from engine.cost.tape import KINDS
from engine.devices.card import Device
from engine.words import binary_bytes, exact_count
from trickster_gui.cost import ink
from trickster_gui.cost.ink import Look
from trickster_gui.cost.rows import Row

KIND_NAMES = {
    "weights": "Weights",
    "gradients": "Gradients",
    "optimizer": "Optimizer",
    "activations": "Activations",
    "logits": "Logits",
}
OVERFLOW = 14
_LARGER = {
    "B": ("KiB", 1 << 10), "KiB": ("MiB", 1 << 20), "MiB": ("GiB", 1 << 30),
    "GiB": ("TiB", 1 << 40), "TiB": ("PiB", 1 << 50), "PiB": ("EiB", 1 << 60),
}  # fmt: skip
_NOT_PUBLISHED = "not published"


class DeviceRow(Row):
    """One device: name, filling up to its capacity line, verdict, and by how much."""

    def __init__(self, look: Look, parent: QWidget, device: Device) -> None:
        super().__init__(look, parent)
        self.device = device
        self.fit: Fit | None = None
        self.selected = False
        self._still: tuple[object, QPixmap] | None = None
        self._source = source_text(device)
        self.setToolTip(self._source)

    def set_device(self, device: Device) -> None:
        """The same device with other figures, such as what is free of its memory."""
        if device != self.device:
            self.device, self._still = device, None
            self._source = source_text(device)
            self._describe()
            self.update()

    def show_fit(self, fit: Fit) -> None:
        """Show how much of the device a training step needs."""
        if fit == self.fit:
            return
        self.fit = fit
        self.copy_text = str(fit.needed_bytes)
        self._describe()
        self.update()

    def select(self, selected: bool) -> None:
        """Emphasise this row, or no longer."""
        if selected != self.selected:
            self.selected = selected
            self._describe()
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, fit, ratio = QPainter(self), self.fit, self.devicePixelRatioF()
        columns = Columns.of(self.width(), self.height(), self.look)
        if ratio.is_integer():
            painter.drawPixmap(0, 0, self._still_picture(columns, int(ratio)))
        else:  # a picture would fall between the pixels of the screen
            self._paint_still(painter, columns)
        if fit is None:
            return
        painter.setOpacity(self.look.opacity)
        painter.setFont(self.look.small)
        self._paint_bar(painter, columns.bar, fit)
        painter.setPen(self.look.colour("text" if self.selected else "muted"))
        ink.put(painter, columns.margin, margin_text(fit), ink.RIGHT)

    def _still_picture(self, columns: Columns, ratio: int) -> QPixmap:
        """What a drag leaves as it is, drawn once, on the plain surface that lies below."""
        verdict = None if self.fit is None else self.fit.verdict
        hot = self.lit or self.underMouse()
        known = (columns, ratio, self.look, self.selected, hot, self.hasFocus(), verdict)
        if self._still is None or self._still[0] != known:
            picture = QPixmap(self.size() * ratio)
            picture.setDevicePixelRatio(ratio)
            picture.fill(self.look.colour("surface"))
            painter = QPainter(picture)
            self._paint_still(painter, columns)
            painter.end()
            self._still = (known, picture)
        return self._still[1]

    def _paint_still(self, painter: QPainter, columns: Columns) -> None:
        look = self.look
        self.dress(painter)
        if self.selected:
            tint = QColor(look.colour("accent"))
            tint.setAlphaF(0.13)
            ink.rounded(painter, QRectF(self.rect()), tint, 4.0)
            bar = QRectF(0, 3, 3, self.height() - 6)
            ink.rounded(painter, bar, look.colour("accent"), 1.5)
        painter.setFont(look.small)
        painter.setPen(look.colour("text"))
        name = short_name(self.device)
        ink.put(painter, columns.name, name)
        if self.device.chips > 1:
            painter.setPen(look.colour("muted"))
            after = columns.name.adjusted(ink.width_of(look.small, name) + 3, 0, 0, 0)
            ink.put(painter, after, "/ chip")
        if columns.capacity.width():
            painter.setPen(look.colour("muted"))
            ink.put(painter, columns.capacity, _memory_text(self.device), ink.RIGHT)
        if self.fit is not None:
            self._paint_verdict(painter, columns, self.fit.verdict)

    def _paint_bar(self, painter: QPainter, area: QRect, fit: Fit) -> None:
        look = self.look
        height = min(16, max(self.height() - 8, 10))
        track = QRectF(area.left(), area.center().y() - height / 2 + 0.5, area.width(), height)
        line = track.right() - OVERFLOW
        inside = QRectF(track.left(), track.top(), line - track.left(), height)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.fillRect(inside, look.colour("raised"))
        if fit.capacity_bytes:
            scale = inside.width() / fit.capacity_bytes
            self._paint_taken(painter, inside, scale)
            full = scale * fit.needed_bytes
            beside = inside.adjusted(scale * fit.overhead_bytes, 0, 0, 0)
            fill_kinds(painter, beside, max(full, 1.5), fit.kinds, look, track.right())
            if beside.left() + full > inside.right() + OVERFLOW:
                _zigzag(painter, track, line + OVERFLOW / 2, look)
        else:
            painter.fillRect(inside, QColor(look.theme.grid))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(QPen(look.colour("text" if fit.capacity_bytes else "faint"), 1))
        x = round(line)
        painter.drawLine(x, int(track.top()) - 2, x, int(track.bottom()) + 1)

    def _paint_taken(self, painter: QPainter, inside: QRectF, scale: float) -> None:
        """What the process itself takes on the left, what other programs hold on the right."""
        device, look = self.device, self.look
        own = QRectF(inside)
        own.setWidth(scale * device.overhead_bytes)
        painter.fillRect(own, look.colour("faint"))
        if device.free_bytes is not None and device.chip_memory_bytes is not None:
            others = QRectF(inside)
            others.setLeft(inside.right() - scale * (device.chip_memory_bytes - device.free_bytes))
            ink.fill_hatched(painter, others, look.colour("faint"))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def _paint_verdict(self, painter: QPainter, columns: Columns, verdict: str) -> None:
        look = self.look
        colour = ink.verdict_colour(look, verdict)
        spare = max(0, columns.chip.height() - look.line - 4) / 2
        chip = QRectF(columns.chip).adjusted(0, 1 + spare, 0, -1 - spare)
        chip.setWidth(ink.width_of(look.small, verdict) + 26)
        back = ink.mixed(look.colour("surface"), colour, 0.13)
        ink.rounded(painter, chip, back, chip.height() / 2)
        ink.verdict_icon(painter, QPointF(chip.left() + 10, chip.center().y()), verdict, colour)
        painter.setPen(colour)
        ink.put(painter, QRectF(chip).adjusted(18, 0, 0, 0), verdict)

    def _describe(self) -> None:
        fit = self.fit
        if fit is None:
            return
        chosen = ", chosen" if self.selected else ""
        self.setAccessibleName(f"{self.device.title}{chosen}: {fit.verdict}, {margin_text(fit)}")
        words = f"{fit.reason}\n\n{self._source}"
        self.setAccessibleDescription(words)
        self.setToolTip(words)


class Columns:
    """Where the columns of a device row are: the same for all rows, whatever they say."""

    def __init__(
        self, name: QRect, capacity: QRect, bar: QRect, chip: QRect, margin: QRect
    ) -> None:
        self.name, self.capacity, self.bar = name, capacity, bar
        self.chip, self.margin = chip, margin

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, row_width: int, row_height: int, look: Look) -> Columns:
        """Columns for a row; a capacity column only where there is room for it."""
        font = look.small
        area = QRect(8, 0, row_width - 12, row_height)
        wide = row_width > 36 * look.line
        name = ink.width_of(font, "GPU 10 / chip") + 3
        margin = ink.width_of(font, "+00.0 GiB free")
        chip = ink.width_of(font, "does not fit") + 26
        capacity = ink.width_of(font, "not published") + 8 if wide else 0
        right = area.right() + 1
        top, height = area.top(), area.height()
        bar_left = area.left() + name + capacity + (10 if wide else 4)
        bar_right = right - margin - chip - 12
        return cls(
            name=QRect(area.left(), top, name, height),
            capacity=QRect(area.left() + name, top, capacity, height),
            bar=QRect(bar_left, top, bar_right - bar_left, height),
            chip=QRect(right - margin - chip - 6, top, chip, height),
            margin=QRect(right - margin, top, margin, height),
        )


def fill_kinds(
    painter: QPainter,
    inside: QRectF,
    full: float,
    kinds: Mapping[str, int],
    look: Look,
    right: float,
) -> None:
    """Stack the kinds over ``full`` pixels from the left of ``inside``, cut off at ``right``."""
    total = sum(kinds.values())
    x = inside.left()
    for kind in KINDS:
        if not kinds[kind] or x >= right:
            continue
        end = min(x + full * kinds[kind] / total, right)
        colour = ink.parsed(look.theme.memory[kind])
        painter.fillRect(QRectF(x, inside.top(), end - x, inside.height()), colour)
        x = end


def _zigzag(painter: QPainter, track: QRectF, x: float, look: Look) -> None:
    """A visible break: the bar goes on far beyond what is drawn."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    points, y, side = [], track.top() - 1, 1
    step = track.height() / 4 + 0.5
    while y <= track.bottom() + 1.5:
        points.append(QPointF(x + 1.8 * side, y))
        y += step
        side = -side
    painter.setPen(QPen(look.colour("surface"), 2.5))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPolyline(QPolygonF(points))


def short_name(device: Device) -> str:
    """What a row calls the device: n300, This CPU, GPU 0."""
    names = {"cpu": "This CPU", "mps": "Apple GPU", "galaxy": "Galaxy", "t3k": "T3K"}
    name = names.get(device.name, device.name)
    if device.kind == "cuda":
        name = f"GPU {device.name.partition(':')[2]}"
    return name


def capacity_text(device: Device) -> str:
    """Memory of one chip: ``12.0 GiB a chip``."""
    several = device.chips > 1 and device.chip_memory_bytes is not None
    return _memory_text(device) + (" a chip" if several else "")


def _memory_text(device: Device) -> str:
    memory = device.chip_memory_bytes
    return _NOT_PUBLISHED if memory is None else binary_bytes(memory)


def compact_bytes(value: int, signed: bool = False) -> str:
    """Binary bytes in three digits always: 1,010 MiB reads 0.99 GiB, as wide as its neighbours."""
    text = binary_bytes(value, signed)
    if "," not in text:
        return text
    unit = text.rpartition(" ")[2]
    larger = _LARGER.get(unit)
    if larger is None:
        return text
    sign = "+" if signed and value > 0 else ""
    return f"{sign}{value / larger[1]:.2f} {larger[0]}"


def margin_text(fit: Fit) -> str:
    """By how much: ``+3.10 GiB free``, ``1.20 GiB short``."""
    if fit.margin_bytes is None:
        return _NOT_PUBLISHED
    if fit.margin_bytes < 0:
        return f"{compact_bytes(-fit.margin_bytes)} short"
    return f"{compact_bytes(fit.margin_bytes, signed=True)} free"


def source_text(device: Device) -> str:
    """Where the figures of a device are from, which are computed, which nobody publishes."""
    memory = (
        "not published"
        if device.chip_memory_bytes is None
        else (f"{capacity_text(device)} ({exact_count(device.chip_memory_bytes)} bytes)")
    )
    bandwidth = _figure(device.bandwidth_bytes_s, 1e9, "GB/s")
    rates = ", ".join(
        f"{name.upper()} {'not published' if rate is None else f'{rate:g}'}"
        for name, rate in device.tflops.items()
    )
    lines = [device.title, f"Memory: {memory}"]
    if device.overhead_bytes:
        own = binary_bytes(device.overhead_bytes)
        lines.append(f"The process itself takes about {own} (grey, left)")
    if device.free_bytes is not None:
        lines.append(
            f"Free when asked: {binary_bytes(device.free_bytes)} (hatched: other programs)"
        )
    if device.kind == "card":
        lines += [f"Bandwidth: {bandwidth}", f"TFLOPS: {rates or 'not published'}"]
    lines.append(f"Source: {device.source or 'unknown'}")
    if device.computed:
        lines.append("Computed, not printed there: " + ", ".join(device.computed))
    if device.notes:
        lines.append(device.notes)
    return "\n".join(lines)


def _figure(value: int | None, unit: float, word: str) -> str:
    return "not published" if value is None else f"{value / unit:,.0f} {word}"
