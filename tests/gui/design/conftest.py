"""A Design panel on the screen, with a document of its own."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.design.panel import DesignPanel
from trickster_gui.document import Design, Document
from trickster_gui.theme import ThemeSource


@pytest.fixture
def document(qtbot: QtBot) -> Document:
    return Document(Design(ModelSpec(), RunSpec()))


@pytest.fixture
def panel(qtbot: QtBot, document: Document) -> DesignPanel:
    shown = DesignPanel(document, ThemeSource("light"))
    shown.resize(340, 1_400)
    qtbot.addWidget(shown)
    shown.show()
    qtbot.waitExposed(shown)
    shown.activateWindow()
    return shown
