"""The window: its bars, lists and commands, by mouse and by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QFileDialog, QLabel, QWidget
from pytestqt.qtbot import QtBot

from engine.presets import load_presets
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.computers import computer
from trickster_gui.app import Application
from trickster_gui.controls.buttons import IconButton
from trickster_gui.controls.search_list import SearchList
from trickster_gui.controls.text import Text
from trickster_gui.design.rows import NumberRow
from trickster_gui.main_window import MainWindow
from trickster_gui.presets_list import SECTIONS
from trickster_gui.theme import DARK

# The offscreen platform says so whenever a list or a menu opens.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture
def window(application: Application) -> MainWindow:
    application.window.activateWindow()
    return application.window


def opened(window: MainWindow, name: str) -> SearchList:
    found = window.open_list(name)
    assert found is not None
    return found


def choose(found: SearchList, text: str) -> None:
    QTest.keyClicks(found.field, text)
    QTest.keyClick(found.field, Qt.Key.Key_Return)


def test_presets_are_listed_in_sections_with_exact_totals(window: MainWindow) -> None:
    QTest.mouseClick(window.top.presets, Qt.MouseButton.LeftButton)
    entries = opened(window, "presets").entries()
    headings = [entry.title for entry in entries if entry.heading]
    assert headings == [section for section in SECTIONS if section in headings]
    assert len(headings) == len(SECTIONS)
    rights = {entry.key: entry.right for entry in entries}
    for preset in load_presets():
        assert rights[preset.id] == (
            f"{preset.total:,}" if preset.total is not None else "cannot be built"
        )
    opened(window, "presets").close()


def test_a_preset_is_found_by_typing_and_can_be_undone(window: MainWindow) -> None:
    before = window.document.design
    QTest.keyClick(window, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    choose(opened(window, "presets"), "tinyll")
    assert "TinyLlama" in window.document.design.title
    assert window.top.title.text() == window.document.design.title
    QTest.mouseClick(window.bar.action, Qt.MouseButton.LeftButton)
    assert window.document.design == before


def test_a_bad_design_lights_up_its_row(window: MainWindow) -> None:
    window.load_preset("bad-design-heads")
    assert window.design.row("num_heads").strip.isVisible()


def test_devices_that_are_not_here_only_show_costs(window: MainWindow) -> None:
    QTest.mouseClick(window.top.device, Qt.MouseButton.LeftButton)
    found = opened(window, "devices")
    sections = {entry.key: entry.section for entry in found.entries() if not entry.heading}
    assert sections["cpu"] == "In this computer"
    assert sections["n150"] == "Not here: cost only"
    choose(found, "n150")
    assert window.document.run.device == "auto", "runs still go to what is here"
    assert "not here" in window.top.device.text()
    assert window.cost.device is not None
    assert window.cost.device.name == "n150"
    window.choose_device("cpu")
    assert window.document.run.device == "cpu"
    assert "not here" not in window.top.device.text()


def test_a_notch_is_priced_for_the_device_whose_costs_are_shown(
    window: MainWindow, qtbot: QtBot
) -> None:
    row = window.design.row("num_layers")
    assert isinstance(row, NumberRow)
    (*_, basis) = row.costs()
    assert basis == "No speed is known here: arithmetic stands for time."
    window.choose_device("n150")
    (*_, basis) = row.costs()
    assert basis.startswith("Times on Wormhole n150: ")
    window.choose_device("cpu")
    window.set_calibration(computer(ModelSpec(), RunSpec(), 1.0))
    (*_, basis) = row.costs()
    assert "measured on this computer" in basis
    qtbot.waitUntil(lambda: row.below.texts()[1].endswith("% time"))
    window.set_calibration(None)
    qtbot.waitUntil(lambda: not row.below.texts()[1].endswith("% time"))


def test_f1_tells_what_the_other_values_cost(window: MainWindow) -> None:
    window.load_preset("good-design")
    window.design.reveal("num_layers")
    QTest.keyClick(window, Qt.Key.Key_F1)
    message = window.bar.message()
    assert message is not None
    assert "7: +852,480 parameters" in message.text


def test_loading_a_preset_says_what_its_source_prints(window: MainWindow) -> None:
    window.load_preset("nano-trickster")
    message = window.bar.message()
    assert message is not None
    assert message.text == (
        "Nano-trickster: 5.18 M parameters. The lesson prints ~11M: exactly 5,180,672."
    )


@pytest.mark.parametrize(
    ("typed", "name", "value"),
    [
        ("set layers 12", "num_layers", 12), ("layers 12", "num_layers", 12),
        ("vocab 4k", "vocab_size", 4_000), ("activation gelu", "activation", "gelu"),
        ("hidden size = 512", "hidden_dim", 512), ("set tied no", "tied_embeddings", False),
    ],
)  # fmt: skip
def test_the_palette_sets_parameters(
    window: MainWindow, typed: str, name: str, value: object
) -> None:
    window.load_preset("nano-trickster")
    QTest.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    choose(opened(window, "palette"), typed.replace(" no", " off"))
    assert getattr(window.document.model, name) == value


def test_the_palette_sets_run_settings(window: MainWindow) -> None:
    window.open_palette()
    choose(opened(window, "palette"), "lr 3e-4")
    assert window.document.run.learning_rate == 3e-4


def test_a_wrong_value_in_the_palette_says_why(window: MainWindow) -> None:
    window.open_palette()
    found = opened(window, "palette")
    QTest.keyClicks(found.field, "layers 99999")
    selected = found.selected()
    assert selected is not None
    assert "at most 1,024" in selected.title
    found.close()


def test_the_palette_has_every_command_preset_and_parameter(window: MainWindow) -> None:
    window.open_palette()
    found = opened(window, "palette")
    keys = {entry.key for entry in found.entries()}
    assert {f"preset:{preset.id}" for preset in load_presets()} <= keys
    assert {"do:save", "do:theme-dark", "do:calibrate", "go:num_layers"} <= keys
    QTest.keyClicks(found.field, "theme dark")
    QTest.keyClick(found.field, Qt.Key.Key_Return)
    assert window.themes.current is DARK
    assert DARK.surface in window.styleSheet()


def test_escape_closes_the_palette_without_doing_anything(window: MainWindow) -> None:
    before = window.document.design
    window.open_palette()
    found = opened(window, "palette")
    QTest.keyClicks(found.field, "layers 3")
    QTest.keyClick(found.field, Qt.Key.Key_Escape)
    assert not found.isVisible()
    assert window.document.design == before


def test_the_palette_reveals_a_hidden_parameter(window: MainWindow) -> None:
    window.open_palette()
    choose(opened(window, "palette"), "go to norm epsilon")
    row = window.design.row("norm_eps")
    assert row.isVisible()
    assert not row.visibleRegion().isEmpty()


@pytest.mark.parametrize("redo", [Qt.Key.Key_Y, Qt.Key.Key_Z])
def test_undo_and_redo_by_keyboard_and_button(window: MainWindow, redo: Qt.Key) -> None:
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    assert not window.top.undo.isEnabled()
    window.document.edit({"num_layers": 9}, text="Layers: 9")
    assert "Layers: 9" in window.top.undo.toolTip()
    QTest.keyClick(window, Qt.Key.Key_Z, control)
    assert window.document.model.num_layers == 4
    QTest.keyClick(window, redo, control if redo is Qt.Key.Key_Y else control | shift)
    assert window.document.model.num_layers == 9
    QTest.mouseClick(window.top.undo, Qt.MouseButton.LeftButton)
    assert window.document.model.num_layers == 4
    assert window.top.redo.isEnabled()


def test_undo_inside_a_value_field_is_the_designs(window: MainWindow) -> None:
    row = window.design.row("num_layers")
    assert isinstance(row, NumberRow)
    row.edit.setFocus()
    QTest.keyClicks(row.edit, "9")
    QTest.keyClick(row.edit, Qt.Key.Key_Return)
    assert window.document.model.num_layers == 9
    QTest.keyClick(row.edit, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert window.document.model.num_layers == 4
    assert row.edit.text() == "4"


def test_the_name_of_a_design_is_edited_in_place(window: MainWindow) -> None:
    QTest.keyClick(window, Qt.Key.Key_F2)
    QTest.keyClicks(window.top.title, "My model")
    QTest.keyClick(window.top.title, Qt.Key.Key_Return)
    assert window.document.design.title == "My model"
    assert window.windowTitle().startswith("My model")


def test_a_design_goes_to_disk_and_back(
    window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "mine"
    window.document.edit({"num_layers": 9}, {"steps": 123})
    window.document.rename("Mine")
    saved = window.document.design
    chosen = (str(target), "YAML (*.yaml)")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: chosen)
    QTest.keyClick(window, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    assert target.with_suffix(".yaml").is_file()
    window.new_design()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (f"{target}.yaml", ""))
    QTest.keyClick(window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier)
    assert window.document.design == saved
    assert window.files.recent == (f"{target}.yaml",)


@pytest.mark.parametrize("content", [b"\x80\x04pickle", b"{", b"model: {num_layers: -1}", b""])
def test_a_file_that_is_no_design_gives_a_message(
    window: MainWindow, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    before = window.document.design
    if window.files.open(str(path)):
        assert content == b""
        return
    message = window.bar.message()
    assert message is not None
    assert message.severity == "error"
    assert window.document.design == before


def test_saving_where_one_may_not_says_so(window: MainWindow, tmp_path: Path) -> None:
    assert not window.files.save_to(str(tmp_path / "missing" / "mine.yaml"))
    message = window.bar.message()
    assert message is not None
    assert message.action_text == "Save as…"


def test_a_design_goes_through_the_clipboard(window: MainWindow) -> None:
    window.document.edit({"num_layers": 9})
    design = window.document.design
    window.files.copy()
    assert QGuiApplication.clipboard().text().startswith("trickster:")
    window.new_design()
    assert window.files.paste()
    assert window.document.design == design
    QGuiApplication.clipboard().setText("hello")
    assert not window.files.paste()
    QGuiApplication.clipboard().setText("trickster:1?num_layers=9#00000000")
    assert not window.files.paste()
    assert window.document.design == design


def test_a_message_moves_nothing(window: MainWindow, qtbot: QtBot) -> None:
    def places() -> list[QRect]:
        return [w.geometry() for w in (window.top, window.columns, window.bar, window.cost)]

    before = places()
    window.messages.post("error", "x" * 900, "Do something", lambda: None)
    QApplication.processEvents()
    assert places() == before
    assert window.bar.text.is_elided()
    assert window.bar.text.toolTip() == "x" * 900


def test_recent_messages_can_be_opened_as_a_list(window: MainWindow) -> None:
    done: list[str] = []
    window.messages.post("warning", "The first", "Mend it", lambda: done.append("mended"))
    window.messages.post("info", "The second")
    popup = window.bar.open_recent()
    texts = [label.text() for label in popup.findChildren(QLabel)]
    assert texts.index("The second") < texts.index("The first")
    button = next(b for b in popup.findChildren(QAbstractButton) if b.text() == "Mend it")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert done == ["mended"]
    popup.close()


def test_the_theme_button_goes_round(window: MainWindow) -> None:
    seen = []
    for _ in range(3):
        QTest.mouseClick(window.top.theme, Qt.MouseButton.LeftButton)
        seen.append(window.themes.choice)
    assert seen == ["light", "dark", "system"]


def test_the_menu_lists_its_commands(window: MainWindow) -> None:
    menu = window.open_menu()
    titles = [action.text().split("\t")[0] for action in menu.actions()]
    for expected in ("Open design…", "Save design", "Undo", "Theme: dark", "All commands…"):
        assert expected in titles
    menu.close()


def test_f1_says_what_the_focused_control_does(window: MainWindow) -> None:
    window.design.reveal("num_layers")
    QTest.keyClick(window, Qt.Key.Key_F1)
    message = window.bar.message()
    assert message is not None
    assert "transformer blocks" in message.text


@pytest.mark.parametrize("size", [(1_280, 800), (1_920, 1_080), (3_840, 2_160)])
@pytest.mark.parametrize("preset", ["first-minute", "llama-3-8b", "bad-design-heads"])
def test_no_text_is_clipped(
    window: MainWindow, qtbot: QtBot, size: tuple[int, int], preset: str
) -> None:
    window.load_preset(preset)
    window.bar.clear()
    window.resize(*size)
    qtbot.waitUntil(lambda: window.width() == size[0])
    QApplication.processEvents()
    for part in (window.top, window.design, window.bar):
        for widget in part.findChildren(QWidget):
            if not widget.isVisible():
                continue
            if isinstance(widget, Text):
                assert not widget.is_elided(), widget.text()
            elif isinstance(widget, IconButton):
                assert widget.width() >= widget.sizeHint().width(), widget.accessibleName()
            elif isinstance(widget, QAbstractButton) and widget.text():
                needed = widget.fontMetrics().horizontalAdvance(widget.text())
                assert needed <= widget.width(), widget.text()
            elif isinstance(widget, QLabel) and widget.wordWrap():
                assert widget.heightForWidth(widget.width()) <= widget.height(), widget.text()
    assert window.top.menu.geometry().right() <= window.width()


def test_every_focusable_control_of_the_bars_has_a_name(window: MainWindow) -> None:
    for part in (window.top, window.bar):
        for widget in part.findChildren(QWidget):
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isVisible():
                assert widget.accessibleName(), type(widget).__name__
