"""The window's font: the system's own, in three sizes, with figures of equal width."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtGui import QFont, QFontDatabase, QFontMetricsF

from trickster_gui.theme import tabular

BASE_PX, SMALL_PX, TITLE_PX = 13, 11, 15
_FALLBACKS = ("Inter", "Segoe UI", "SF Pro Text", "Cantarell", "Noto Sans", "DejaVu Sans")
_WIDE_ADVANCE = 7.0  # average px of a lower-case letter at 13 px, where a face counts as wide


def _families() -> list[str]:
    own = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont).families()
    return list(dict.fromkeys([*own, *_FALLBACKS]))


@lru_cache(maxsize=32)
def _font(pixels: int, weight: int) -> QFont:
    font = QFont(_families())
    font.setPixelSize(pixels)
    font.setWeight(QFont.Weight(weight))
    return tabular(font)


@lru_cache(maxsize=1)
def base_px() -> int:
    """Size of ordinary text in px: 13, or 12 where the system's face is a wide one."""
    text = "abcdefghijklmnopqrstuvwxyz"
    advance = QFontMetricsF(_font(BASE_PX, 400)).horizontalAdvance(text) / len(text)
    return BASE_PX - 1 if advance > _WIDE_ADVANCE else BASE_PX


def base(weight: int = 400) -> QFont:
    """Ordinary text."""
    return _font(base_px(), weight)


def small(weight: int = 400) -> QFont:
    """Second lines and headings of groups."""
    return _font(SMALL_PX, weight)


def title(weight: int = 600) -> QFont:
    """The name of the program and of a page."""
    return _font(TITLE_PX, weight)
