"""Words and places of the memory bars."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QGuiApplication, QImage
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from engine.cost.fit import fit
from engine.cost.memory import training_memory
from engine.devices.card import Device
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.cost.ink import make_look
from trickster_gui.cost.memory_rows import (
    OVERFLOW,
    Columns,
    DeviceRow,
    capacity_text,
    compact_bytes,
    margin_text,
    short_name,
)
from trickster_gui.theme import LIGHT

SPEC, RUN = ModelSpec(), RunSpec()
NEEDED = training_memory(SPEC, RUN).peak_bytes


def card(memory: int | None, chips: int = 1, name: str = "card") -> Device:
    total = None if memory is None else memory * chips
    return Device(name, "A card", "card", chips, total, memory)


def drawn(qtbot: QtBot, device: Device) -> tuple[QImage, Columns]:
    look = make_look(LIGHT, QGuiApplication.font())
    home = QWidget()
    qtbot.addWidget(home)
    row = DeviceRow(look, home, device)
    row.resize(QSize(400, 20))
    row.show_fit(fit(SPEC, RUN, device))
    return row.grab().toImage(), Columns.of(400, 20, look)


def filled(image: QImage, left: int, right: int) -> int:
    """Pixels between two x that wear a colour of the memory kinds."""
    kinds = {QColor(colour).name() for colour in LIGHT.memory.values()}
    y = image.height() // 2
    return sum(image.pixelColor(x, y).name() in kinds for x in range(left, right))


def test_a_bar_fills_its_share_of_the_capacity(qtbot: QtBot) -> None:
    image, columns = drawn(qtbot, card(2 * NEEDED))
    line = columns.bar.right() + 1 - OVERFLOW
    assert filled(image, columns.bar.left(), line) == pytest.approx(
        (line - columns.bar.left()) / 2, abs=2
    )
    assert not filled(image, line, columns.bar.right() + 1)


def test_what_does_not_fit_breaks_through_the_line(qtbot: QtBot) -> None:
    image, columns = drawn(qtbot, card(NEEDED // 3))
    line = columns.bar.right() + 1 - OVERFLOW
    assert filled(image, line + 1, columns.bar.right()) > OVERFLOW // 3


def test_a_little_too_much_is_still_drawn_to_scale(qtbot: QtBot) -> None:
    image, columns = drawn(qtbot, card(NEEDED * 20 // 21))
    line = columns.bar.right() + 1 - OVERFLOW
    beyond = (line - columns.bar.left()) / 20
    assert filled(image, line + 1, columns.bar.right()) == pytest.approx(beyond, abs=2)


def test_an_unknown_capacity_is_not_published(qtbot: QtBot) -> None:
    unknown = card(None)
    image, columns = drawn(qtbot, unknown)
    assert not filled(image, columns.bar.left(), columns.bar.right())
    assert margin_text(fit(SPEC, RUN, unknown)) == "not published"
    assert capacity_text(unknown) == "not published"


def test_by_how_much() -> None:
    assert margin_text(fit(SPEC, RUN, card(NEEDED + (3 << 30)))) == "+3.00 GiB free"
    assert margin_text(fit(SPEC, RUN, card(NEEDED - (100 << 20)))) == "100 MiB short"


def test_per_chip() -> None:
    assert capacity_text(card(12 << 30, chips=2)) == "12.0 GiB a chip"
    assert capacity_text(card(12 << 30)) == "12.0 GiB"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (1_010 << 20, "0.99 GiB"), (1_023, "1.00 KiB"), (5 << 30, "5.00 GiB")],
)
def test_three_digits_always(value: int, text: str) -> None:
    assert compact_bytes(value) == text


def test_short_names() -> None:
    cuda = Device("cuda:3", "NVIDIA H100", "cuda", 1, 1, 1)
    assert short_name(cuda) == "GPU 3"
    assert short_name(card(1, name="n150")) == "n150"
