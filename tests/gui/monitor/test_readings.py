"""Numbers and texts as the monitor shows them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtGui import QFontMetrics
from pytestqt.qtbot import QtBot

from trickster_gui.monitor import readings
from trickster_gui.monitor.legend import Entry, Legend
from trickster_gui.theme import ThemeSource


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5.5452, "5.545"), (0.0004, "0.000"), (9.99961, "10.00"), (12.3456, "12.35"),
        (6743.672, "6.74 K"), (1_574.0, "1.57 K"), (999.96, "1.00 K"), (2.1e20, "2.1e+20"),
        (math.nan, "nan"), (math.inf, "inf"), (None, "–"),
    ],
)  # fmt: skip
def test_a_loss_stays_short(value: float | None, shown: str) -> None:
    assert readings.loss(value) == shown


@given(st.floats(0.0, 1e300))
def test_no_loss_is_longer_than_a_few_letters(value: float) -> None:
    assert len(readings.loss(value)) <= 8


def test_message_and_advice_are_sentences() -> None:
    joined = readings.sentences("'x' is neither a file nor a folder", "Correct that")
    assert joined == "'x' is neither a file nor a folder. Correct that."
    assert readings.sentences("Ended.", "") == "Ended."
    assert readings.sentences("", "Why? Look!") == "Why? Look!"


@pytest.mark.parametrize("value", ["5.545", "6743.672", "123456789.123"])
def test_entries_of_the_legend_keep_apart(qtbot: QtBot, value: str) -> None:
    legend = Legend(ThemeSource("light"))
    qtbot.addWidget(legend)
    legend.resize(900, 24)
    legend.show_entries((
        Entry("faint", "train", "raw", value, "0.0000"),
        Entry("points", "validation", "Validation", value, "0.0000"),
    ))  # fmt: skip
    first, second = legend.places()
    metrics = QFontMetrics(legend.font())
    needed = metrics.horizontalAdvance("raw") + metrics.horizontalAdvance(value)
    assert first.width() > needed
    assert second.left() - first.right() >= 12
