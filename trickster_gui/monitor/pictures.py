"""Pictures of a chart as it stands on the screen."""

from __future__ import annotations

from PySide6.QtCore import QBuffer, QIODevice, QRectF
from PySide6.QtGui import QImage, QPaintDevice, QPainter
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QGraphicsView


def picture(view: QGraphicsView, scale: float = 2.0) -> QImage:
    """The view with ``scale`` pixels for each of the screen."""
    size = view.viewport().size()
    image = QImage(size * scale, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(view.backgroundBrush().color())
    _paint(view, image, QRectF(image.rect()))
    return image


def svg(view: QGraphicsView) -> bytes:
    """The view as an SVG document."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(view.viewport().size())
    generator.setViewBox(view.viewport().rect())
    generator.setTitle("Training loss")
    _paint(view, generator, QRectF(view.viewport().rect()))
    return bytes(buffer.data().data())


def _paint(view: QGraphicsView, device: QPaintDevice, target: QRectF) -> None:
    painter = QPainter(device)
    try:
        view.render(painter, target, view.viewport().rect())
    finally:
        painter.end()
