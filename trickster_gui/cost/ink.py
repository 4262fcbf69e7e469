"""How the cost view draws: fonts, colours and the few strokes that all its parts share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontInfo, QFontMetrics, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import QWidget

from trickster_gui.theme import Theme, tabular

DIMMED = 0.38
_FIGURE_AND_UNIT = re.compile(r"(?<=\d) (?=[A-Za-z%])")

Align = Qt.AlignmentFlag
LEFT = Align.AlignLeft | Align.AlignVCenter
RIGHT = Align.AlignRight | Align.AlignVCenter
CENTRE = Align.AlignCenter


@dataclass(frozen=True, eq=False)
class Look:
    """What a part needs to paint itself: the theme, its fonts and how strongly to draw."""

    theme: Theme
    small: QFont
    base: QFont
    bold: QFont
    large: QFont
    line: int
    dim: bool = False

    @property
    def opacity(self) -> float:
        """1, or less while the picture shows the last good design instead of the present one."""
        return DIMMED if self.dim else 1.0

    def colour(self, name: str) -> QColor:
        """A colour of the theme by its name: ``look.colour("muted")``. Not to be changed."""
        return parsed(getattr(self.theme, name))


def make_look(theme: Theme, font: QFont, larger: int = 0, dim: bool = False) -> Look:
    """Fonts from the window's own: rows one pixel below it; ``larger`` pixels more on big screens.

    Sizes are in pixels (logical ones: Qt scales them on a HiDPI screen), so that rows of a fixed
    height hold their text on every system.
    """
    size = min(14, max(11, QFontInfo(font).pixelSize())) + larger
    base, small = tabular(font), tabular(font)
    base.setPixelSize(size)
    small.setPixelSize(size - 1)
    bold = QFont(base)
    bold.setWeight(QFont.Weight.DemiBold)
    large = QFont(bold)
    large.setPixelSize(size + 3)
    return Look(theme, small, base, bold, large, QFontMetrics(small).height() + 2, dim)


def put(
    painter: QPainter, rect: QRect | QRectF, text: str, align: Align = LEFT, *, wrap: bool = False
) -> None:
    """Draw text in the painter's font and pen. All text of the view passes through here."""
    flags = int(align.value)
    if wrap:
        flags |= Qt.TextFlag.TextWordWrap.value
        text = unbroken(text)
    painter.drawText(rect, flags, text)


@lru_cache(maxsize=256)
def parsed(colour: str) -> QColor:
    """The colour #rrggbb. One object for all who ask: not to be changed."""
    return QColor(colour)


@lru_cache(maxsize=256)
def unbroken(text: str) -> str:
    """The text with figures and their units kept on one line."""
    return _FIGURE_AND_UNIT.sub("\N{NO-BREAK SPACE}", text)


@lru_cache(maxsize=4096)
def width_of(font: QFont, text: str) -> int:
    """Width of a text on one line, in logical pixels."""
    return QFontMetrics(font).horizontalAdvance(text)


def elided(font: QFont, text: str, room: int) -> str:
    """The text, its end replaced by … where it is wider than ``room``."""
    if width_of(font, text) <= room:
        return text
    return QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, room)


def mixed(first: QColor, second: QColor, part: float) -> QColor:
    """The colour ``part`` of the way from ``first`` to ``second``."""
    keep = 1.0 - part
    return QColor.fromRgbF(
        first.redF() * keep + second.redF() * part,
        first.greenF() * keep + second.greenF() * part,
        first.blueF() * keep + second.blueF() * part,
    )


def shaded(colour: QColor, surface: QColor, shade: int) -> QColor:
    """One of the tones that parts of one component wear: 0 is the component's own colour."""
    return mixed(colour, surface, min(0.16 * shade, 0.64))


def focus_frame(painter: QPainter, rect: QRectF, look: Look, radius: float = 4.0) -> None:
    """The ring around what the keyboard is on."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(look.colour("accent"), 1.5))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(rect.adjusted(1, 1, -1, -1), radius, radius)


def rounded(painter: QPainter, rect: QRectF, colour: QColor, radius: float) -> None:
    """A filled rounded rectangle."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawRoundedRect(rect, radius, radius)


def colour_mark(painter: QPainter, rect: QRect, colour: QColor, hatched: bool = False) -> None:
    """The small square that ties a row of a legend to its part of the picture."""
    side = 9
    square = QRectF(rect.left(), rect.center().y() - side / 2 + 0.5, side, side)
    if hatched:
        fill_hatched(painter, square, colour)
    else:
        rounded(painter, square, colour, 2.0)


def fill_hatched(painter: QPainter, rect: QRectF, colour: QColor) -> None:
    """A colour with stripes: a second part of the same component, told apart without colour."""
    pale = QColor(colour)
    pale.setAlphaF(0.35)
    painter.fillRect(rect, pale)
    painter.save()
    painter.setClipRect(rect, Qt.ClipOperation.IntersectClip)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(colour, 1.4))
    x = rect.left() - rect.height()
    while x < rect.right():
        painter.drawLine(QPointF(x, rect.bottom()), QPointF(x + rect.height(), rect.top()))
        x += 4.0
    painter.restore()


def verdict_icon(painter: QPainter, centre: QPointF, verdict: str, colour: QColor) -> None:
    """A tick, an exclamation mark, a cross or a question's dash: never colour alone."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    cap, join = Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin
    painter.setPen(QPen(colour, 1.7, Qt.PenStyle.SolidLine, cap, join))
    x, y = centre.x(), centre.y()
    if verdict == "fits":
        path = QPainterPath(QPointF(x - 3.5, y + 0.3))
        path.lineTo(x - 1.0, y + 3.0)
        path.lineTo(x + 3.7, y - 3.0)
        painter.drawPath(path)
    elif verdict == "tight":
        painter.drawLine(QPointF(x, y - 3.8), QPointF(x, y + 0.8))
        painter.drawPoint(QPointF(x, y + 3.6))
    elif verdict == "does not fit":
        painter.drawLine(QPointF(x - 3.0, y - 3.0), QPointF(x + 3.0, y + 3.0))
        painter.drawLine(QPointF(x - 3.0, y + 3.0), QPointF(x + 3.0, y - 3.0))
    else:
        painter.drawLine(QPointF(x - 3.0, y), QPointF(x + 3.0, y))


def verdict_colour(look: Look, verdict: str) -> QColor:
    """Green, amber, red or grey of the theme."""
    names = {"fits": "success", "tight": "warning", "does not fit": "danger"}
    return look.colour(names.get(verdict, "muted"))


class Part(QWidget):
    """A part of the view that paints itself with a Look and has no layout of its own.

    Parts lie on the view's plain surface and leave it unpainted. Painting it in each of them
    (WA_OpaquePaintEvent) was measured: the clip regions cost more than they save.
    """

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.look = look

    def set_look(self, look: Look) -> None:
        """Take new colours or fonts and paint again."""
        self.look = look
        self.place()
        self.update()

    def place(self) -> None:
        """Put the children where they belong; called when the size or the fonts change."""
