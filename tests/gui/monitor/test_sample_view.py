"""Samples are shown as text, whatever an untrained model writes."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from engine.events import Sample
from trickster_gui.monitor.sample_view import SampleText
from trickster_gui.theme import ThemeSource


def shown(qtbot: QtBot, prompt: str, text: str) -> SampleText:
    view = SampleText(ThemeSource("light"), "Sample", "text", 12)
    qtbot.addWidget(view)
    view.show_sample(Sample(0, prompt, text, 10, 0.1))
    return view


@pytest.mark.parametrize(
    ("prompt", "direction"),
    [
        ("def ", Qt.LayoutDirection.LeftToRight),
        ("", Qt.LayoutDirection.LeftToRight),
        ("\u05e9\u05dc\u05d5\u05dd ", Qt.LayoutDirection.LayoutDirectionAuto),
    ],
)
def test_lines_run_as_the_prompt_does_not_as_noise_would(
    qtbot: QtBot, prompt: str, direction: Qt.LayoutDirection
) -> None:
    view = shown(qtbot, prompt, "\u0645\n\u05d0 noise")
    assert view.document().defaultTextOption().textDirection() == direction


def test_markup_in_a_sample_is_shown_and_not_obeyed(qtbot: QtBot) -> None:
    view = shown(qtbot, "<b>", "bold</b><img src='x'>")
    assert view.toPlainText() == "<b>bold</b><img src='x'>"
