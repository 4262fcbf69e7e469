"""Icons: each is drawn inside its grid."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter
from pytestqt.qtbot import QtBot

from trickster_gui.controls.icons import GRID, ICONS, draw_icon, icon_path


@pytest.mark.parametrize("name", sorted(ICONS))
def test_an_icon_lies_inside_its_grid_and_leaves_ink(name: str, qtbot: QtBot) -> None:
    assert QRectF(0, 0, GRID, GRID).contains(icon_path(name).boundingRect())
    image = QImage(64, 64, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    draw_icon(painter, name, QRectF(0, 0, 64, 64), "#000000")
    painter.end()
    inked = sum(image.pixelColor(x, y).alpha() > 128 for x in range(64) for y in range(64))
    assert 40 < inked < 64 * 64 / 2


def test_a_name_that_nobody_drew_is_an_error() -> None:
    with pytest.raises(KeyError):
        icon_path("unicorn")
