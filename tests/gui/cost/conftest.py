"""A cost view over a document, with the seven cards and a processor of known memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytestqt.qtbot import QtBot

from engine.devices.card import Device, load_cards
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.cost.view import CostView
from trickster_gui.document import Design, Document
from trickster_gui.theme import ThemeSource

CPU = Device(
    name="cpu",
    title="Test CPU, 4 cores",
    kind="cpu",
    chips=1,
    memory_bytes=16 << 30,
    chip_memory_bytes=16 << 30,
    source="the operating system",
)


@pytest.fixture
def devices() -> tuple[Device, ...]:
    return (*load_cards(), CPU)


@pytest.fixture
def document(qtbot: QtBot) -> Document:
    return Document(Design(ModelSpec(), RunSpec()))


@pytest.fixture
def themes(qtbot: QtBot) -> ThemeSource:
    return ThemeSource("light")


MakeView = Callable[..., CostView]


@pytest.fixture
def make_view(
    qtbot: QtBot, document: Document, themes: ThemeSource, devices: tuple[Device, ...]
) -> MakeView:
    """Opens the view at a size and waits until it is painted and its searches are done."""

    def make(width: int = 940, height: int = 330, device: str | None = None) -> CostView:
        view = CostView(document, themes)
        qtbot.addWidget(view)
        view.resize(width, height)
        view.set_devices(devices)
        view.set_selected_device(device)
        with qtbot.waitExposed(view):
            view.show()
        qtbot.waitUntil(lambda: not view.busy)
        return view

    return make


@pytest.fixture
def view(make_view: MakeView) -> CostView:
    return make_view()
