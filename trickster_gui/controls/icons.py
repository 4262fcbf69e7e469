"""Line icons drawn on a 16 × 16 grid, sharp at any size and in any colour."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen

GRID = 16.0

# Path data: M x y (move), L x y (line), C x1 y1 x2 y2 x y (cubic), E cx cy rx ry (ellipse), Z.
ICONS = {
    "undo": "M 5.5 3 L 2.5 6 L 5.5 9 M 2.5 6 L 9.5 6 C 15 6 15 13 9.5 13 L 6 13",
    "redo": "M 10.5 3 L 13.5 6 L 10.5 9 M 13.5 6 L 6.5 6 C 1 6 1 13 6.5 13 L 10 13",
    "sun": "E 8 8 2.8 2.8 M 8 1 L 8 2.4 M 8 13.6 L 8 15 M 1 8 L 2.4 8 M 13.6 8 L 15 8 "
    "M 3.05 3.05 L 4.05 4.05 M 11.95 11.95 L 12.95 12.95 M 12.95 3.05 L 11.95 4.05 "
    "M 4.05 11.95 L 3.05 12.95",
    "moon": "M 13.2 9.6 C 9 11 5 7.2 6.4 2.8 C -0.5 5.4 2.2 14.6 8.8 13.4 "
    "C 11 13 12.6 11.6 13.2 9.6 Z",
    "contrast": "E 8 8 5.6 5.6 M 8 2.4 L 8 13.6 M 10 3.2 L 10 12.8 M 12 4.2 L 12 11.8",
    "menu": "M 2.5 4 L 13.5 4 M 2.5 8 L 13.5 8 M 2.5 12 L 13.5 12",
    "chevron-down": "M 4 6 L 8 10 L 12 6",
    "chevron-right": "M 6 4 L 10 8 L 6 12",
    "chevron-up": "M 4 10 L 8 6 L 12 10",
    "search": "E 7 7 4.3 4.3 M 10.2 10.2 L 13.8 13.8",
    "info": "E 8 8 6 6 M 8 7.4 L 8 11.2 M 8 4.9 L 8 5.1",
    "success": "E 8 8 6 6 M 5.2 8.2 L 7.2 10.2 L 10.9 6.2",
    "warning": "M 8 2.2 L 14.4 13.4 L 1.6 13.4 Z M 8 6.4 L 8 9.6 M 8 11.4 L 8 11.6",
    "error": "E 8 8 6 6 M 5.8 5.8 L 10.2 10.2 M 10.2 5.8 L 5.8 10.2",
    "chip": "M 4 4 L 12 4 L 12 12 L 4 12 Z M 6.5 6.5 L 9.5 6.5 L 9.5 9.5 L 6.5 9.5 Z "
    "M 6 1.8 L 6 4 M 10 1.8 L 10 4 M 6 12 L 6 14.2 M 10 12 L 10 14.2 "
    "M 1.8 6 L 4 6 M 1.8 10 L 4 10 M 12 6 L 14.2 6 M 12 10 L 14.2 10",
    "close": "M 4 4 L 12 12 M 12 4 L 4 12",
    "copy": "M 5.5 5.5 L 13.5 5.5 L 13.5 13.5 L 5.5 13.5 Z M 3 10.5 L 2.5 10.5 L 2.5 2.5 "
    "L 10.5 2.5 L 10.5 3",
    "grid": "M 2.5 2.5 L 6.8 2.5 L 6.8 6.8 L 2.5 6.8 Z M 9.2 2.5 L 13.5 2.5 L 13.5 6.8 L 9.2 6.8 Z "
    "M 2.5 9.2 L 6.8 9.2 L 6.8 13.5 L 2.5 13.5 Z M 9.2 9.2 L 13.5 9.2 L 13.5 13.5 L 9.2 13.5 Z",
}


@lru_cache(maxsize=64)
def icon_path(name: str) -> QPainterPath:
    """The outline of an icon on its 16 × 16 grid. KeyError for a name that nobody drew."""
    path = QPainterPath()
    words = ICONS[name].split()
    at = 0

    def numbers(count: int) -> list[float]:
        nonlocal at
        values = [float(word) for word in words[at : at + count]]
        at += count
        return values

    while at < len(words):
        verb = words[at]
        at += 1
        if verb == "M":
            path.moveTo(*numbers(2))
        elif verb == "L":
            path.lineTo(*numbers(2))
        elif verb == "C":
            path.cubicTo(*numbers(6))
        elif verb == "E":
            path.addEllipse(QPointF(*numbers(2)), *numbers(2))
        else:
            assert verb == "Z", f"{name}: {verb} is no path verb"
            path.closeSubpath()
    return path


def draw_icon(painter: QPainter, name: str, box: QRectF, colour: str, width: float = 1.4) -> None:
    """Draw an icon into ``box`` (a square) with lines of ``width`` grid units."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(box.topLeft())
    painter.scale(box.width() / GRID, box.height() / GRID)
    pen = QPen(QColor(colour), width)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPath(icon_path(name))
    painter.restore()
