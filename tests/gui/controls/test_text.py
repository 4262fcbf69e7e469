"""Texts that change often and have little room."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QFontMetrics
from pytestqt.qtbot import QtBot

from trickster_gui.controls import fonts
from trickster_gui.controls.text import TextPair
from trickster_gui.theme import ThemeSource

LONG, MIDDLE, SHORT = "+1 layer: +852 K params, +3.29 MiB", "+1 layer: +852 K", "+852 K"


@pytest.fixture
def pair(qtbot: QtBot) -> TextPair:
    shown = TextPair(ThemeSource("light"), fonts.small(), ("muted", "faint"))
    qtbot.addWidget(shown)
    shown.resize(400, 20)
    shown.show()
    return shown


def width(text: str) -> int:
    return QFontMetrics(fonts.small()).horizontalAdvance(text)


def test_the_longest_wording_that_fits_is_shown(pair: TextPair) -> None:
    pair.set_right_wordings((LONG, MIDDLE, SHORT))
    assert pair.texts() == ("", LONG)
    pair.resize(width(LONG) - 1, 20)
    assert pair.texts()[1] == MIDDLE
    assert not pair.is_elided()
    pair.resize(width(SHORT), 20)
    assert pair.texts()[1] == SHORT
    pair.resize(5, 20)
    assert pair.texts()[1] == SHORT
    assert pair.is_elided()


def test_the_left_text_takes_its_room_first(pair: TextPair) -> None:
    pair.resize(width(LONG) + 20, 20)
    pair.set_right_wordings((LONG, MIDDLE, SHORT))
    pair.set_left("3 × hidden")
    assert pair.texts() == ("3 × hidden", MIDDLE)
    pair.set_left("")
    assert pair.texts()[1] == LONG


def test_a_longer_wording_comes_back_only_with_room_to_spare(pair: TextPair) -> None:
    pair.set_right_wordings((LONG, MIDDLE))
    pair.resize(width(LONG) - 1, 20)
    assert pair.texts()[1] == MIDDLE
    pair.resize(width(LONG) + 1, 20)
    assert pair.texts()[1] == MIDDLE, "the words do not come and go with a digit"
    pair.resize(width(LONG) + TextPair.SPARE_PX, 20)
    assert pair.texts()[1] == LONG


def test_without_words_there_is_nothing(pair: TextPair) -> None:
    pair.set_right_wordings((LONG, MIDDLE))
    pair.set_right("")
    assert pair.texts() == ("", "")
    pair.set_right("one")
    assert pair.texts() == ("", "one")
