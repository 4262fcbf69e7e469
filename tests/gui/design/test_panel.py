"""The Design panel, driven as a person drives it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QHelpEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QToolTip, QWidget
from pytestqt.qtbot import QtBot

from engine.presets import Preset, load_presets
from engine.run_spec import run_parameters, run_to_dict
from engine.spec import model_parameters, problems, spec_to_dict
from tests.gui.design.test_notch_costs import HERE
from trickster_gui.controls.text import Text, TextPair
from trickster_gui.design.notch_costs import PRICED, Machine
from trickster_gui.design.panel import DesignPanel
from trickster_gui.design.rows import ChoiceRow, FlagRow, NumberRow
from trickster_gui.document import Document


def number(panel: DesignPanel, name: str) -> NumberRow:
    row = panel.row(name)
    assert isinstance(row, NumberRow)
    return row


def drag(row: NumberRow, notches: list[int]) -> None:
    slider = row.slider
    assert slider is not None
    middle = slider.height() // 2
    left = Qt.MouseButton.LeftButton
    QTest.mousePress(slider, left, pos=QPoint(round(slider.thumb_x()), middle))
    for notch in notches:
        QTest.mouseMove(slider, QPoint(round(slider.thumb_x(notch)), middle))
    QTest.mouseRelease(slider, left, pos=QPoint(round(slider.thumb_x(notches[-1])), middle))


def typed(row: NumberRow, text: str) -> None:
    row.edit.setFocus()
    row.edit.selectAll()
    QTest.keyClicks(row.edit, text)
    QTest.keyClick(row.edit, Qt.Key.Key_Return)


def test_every_parameter_has_a_row_and_a_control_that_says_what_it_does(
    panel: DesignPanel,
) -> None:
    for name, parameter in {**model_parameters(), **run_parameters()}.items():
        if name == "device":  # chosen in the bar at the top
            assert not panel.has_row(name)
            continue
        row = panel.row(name)
        assert row.label.text() == parameter.label
        described = [w for w in row.findChildren(QWidget) if w.accessibleDescription()]
        assert any(parameter.help in w.accessibleDescription() for w in described), name


def test_all_focusable_controls_have_accessible_names(panel: DesignPanel) -> None:
    nameless = [
        widget
        for widget in panel.findChildren(QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and widget.isVisible()
        and not widget.accessibleName()
    ]
    assert nameless == []


def test_a_drag_moves_the_model_live_and_is_one_step_of_undo(
    panel: DesignPanel, document: Document
) -> None:
    seen: list[int] = []
    document.changed.connect(lambda design: seen.append(design.model.num_layers))
    drag(number(panel, "num_layers"), [6, 8, 11, 15])
    assert document.model.num_layers == 16
    assert seen == [7, 9, 12, 16]
    assert document.undo_stack.count() == 1
    document.undo_stack.undo()
    assert document.model.num_layers == 6
    assert number(panel, "num_layers").edit.text() == "6"


def test_two_drags_are_two_steps(panel: DesignPanel, document: Document) -> None:
    drag(number(panel, "num_layers"), [7])
    drag(number(panel, "num_layers"), [9])
    assert document.undo_stack.count() == 2


def test_dragging_heads_takes_key_value_heads_along(panel: DesignPanel, document: Document) -> None:
    drag(number(panel, "num_heads"), [4])
    assert document.model.num_heads == 16
    assert document.model.num_kv_heads == 16


@pytest.mark.parametrize(
    ("key", "layers"),
    [
        (Qt.Key.Key_Right, 7), (Qt.Key.Key_Up, 7), (Qt.Key.Key_Left, 5), (Qt.Key.Key_Down, 5),
        (Qt.Key.Key_Home, 1), (Qt.Key.Key_End, 128),
    ],
)  # fmt: skip
def test_arrow_keys_step_and_home_and_end_go_to_the_ends(
    panel: DesignPanel, document: Document, key: Qt.Key, layers: int
) -> None:
    slider = number(panel, "num_layers").slider
    assert slider is not None
    slider.setFocus()
    QTest.keyClick(slider, key)
    assert document.model.num_layers == layers
    assert document.undo_stack.count() == 1


def test_page_keys_take_larger_steps(panel: DesignPanel, document: Document) -> None:
    slider = number(panel, "num_layers").slider
    assert slider is not None
    QTest.keyClick(slider, Qt.Key.Key_PageUp)
    assert document.model.num_layers == 6 + slider.pageStep()
    QTest.keyClick(slider, Qt.Key.Key_PageDown)
    assert document.model.num_layers == 6


def test_a_digit_on_the_slider_begins_an_exact_value(
    panel: DesignPanel, document: Document
) -> None:
    row = number(panel, "num_layers")
    assert row.slider is not None
    row.slider.setFocus()
    QTest.keyClick(row.slider, "1")
    assert row.edit.hasFocus()
    QTest.keyClicks(row.edit, "3")
    QTest.keyClick(row.edit, Qt.Key.Key_Return)
    assert document.model.num_layers == 13


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("vocab_size", "4k", 4_000), ("vocab_size", "32,000", 32_000),
        ("norm_eps", "1e-6", 1e-6), ("hidden_dim", " 320 ", 320), ("head_dim", "64", 64),
        ("head_dim", "automatic", None), ("rope_theta", "500000", 500_000.0),
    ],
)  # fmt: skip
def test_values_can_be_typed(
    panel: DesignPanel, document: Document, name: str, text: str, value: object
) -> None:
    panel.reveal(name)
    if name == "head_dim" and value is None:
        document.edit({"head_dim": 32})
    typed(number(panel, name), text)
    assert getattr(document.model, name) == value


@pytest.mark.parametrize("text", ["seven", "-3", "0", "1e9", "9" * 40, "1.5", "²", "nan", "½k"])
def test_a_wrong_value_says_why_and_escape_restores(
    panel: DesignPanel, document: Document, text: str
) -> None:
    row = number(panel, "num_layers")
    typed(row, text)
    assert document.model.num_layers == 6
    assert row.strip.isVisible()
    assert row.strip.label.text()
    assert row.edit.text() == text
    QTest.keyClick(row.edit, Qt.Key.Key_Escape)
    assert row.edit.text() == "6"
    assert not row.strip.isVisible()


def test_a_refused_value_offers_the_nearest_legal_one(
    panel: DesignPanel, document: Document
) -> None:
    row = number(panel, "num_layers")
    typed(row, "2000")
    assert "at most 1,024" in row.strip.label.text()
    QTest.mouseClick(row.strip.button, Qt.MouseButton.LeftButton)
    assert document.model.num_layers == 1_024
    assert not row.strip.isVisible()


def test_an_impossible_combination_is_shown_at_its_row_with_a_fix(
    panel: DesignPanel, document: Document
) -> None:
    above = panel.row("hidden_dim").geometry()
    row = number(panel, "num_heads")
    before = row.geometry().topLeft()
    typed(row, "7")
    assert document.model.num_heads == 7
    assert row.strip.label.text() == "256 is not divisible by 7 heads"
    assert row.strip.button.text() == "Use 8"
    assert panel.row("hidden_dim").geometry() == above
    assert row.geometry().topLeft() == before
    QTest.mouseClick(row.strip.button, Qt.MouseButton.LeftButton)
    assert problems(document.model) == ()
    assert document.model.num_heads == 8
    assert not row.strip.isVisible()


def test_the_wheel_scrolls_past_a_slider_without_the_focus(
    panel: DesignPanel, document: Document
) -> None:
    slider = number(panel, "num_layers").slider
    assert slider is not None
    slider.clearFocus()
    turn(slider, 120)
    assert document.model.num_layers == 6
    slider.setFocus()
    turn(slider, 120)
    turn(slider, 120)
    assert document.model.num_layers == 8
    assert document.undo_stack.count() == 1, "one turn of the wheel is one step"


def turn(widget: QWidget, angle: int) -> None:
    centre = QPointF(widget.rect().center())
    event = QWheelEvent(
        centre, widget.mapToGlobal(centre), QPoint(), QPoint(0, angle),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)


def test_hints_follow_the_design(panel: DesignPanel, document: Document) -> None:
    def hint(name: str) -> str:
        return number(panel, name).below.texts()[0]

    assert hint("mlp_dim") == "3 × hidden"
    assert hint("num_heads") == "head size 32"
    assert hint("num_kv_heads") == "MHA"
    document.edit({"num_kv_heads": 2, "vocab_size": 32_000})
    assert hint("num_kv_heads") == "GQA 4:1"
    assert hint("vocab_size") == "subwords"
    document.edit({"num_kv_heads": 1})
    assert hint("num_kv_heads") == "MQA"


def test_each_slider_says_what_a_notch_costs(
    panel: DesignPanel, document: Document, qtbot: QtBot
) -> None:
    row = number(panel, "num_layers")
    qtbot.waitUntil(lambda: row.below.texts()[1].startswith("+1 layer: +852 K params, +"))
    drag(row, [10])
    qtbot.waitUntil(lambda: row.below.texts()[1].startswith("+1 layer: +852 K params, +"))


def test_what_a_notch_costs_is_that_of_the_machine(
    panel: DesignPanel, document: Document, qtbot: QtBot
) -> None:
    row = number(panel, "num_layers")
    panel.resize(460, 1_400)
    qtbot.waitUntil(lambda: row.below.texts()[1].endswith("% FLOPs"))
    panel.set_machine(HERE)
    qtbot.waitUntil(lambda: row.below.texts()[1].endswith("% time"))


@pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True)  # of the tooltip
def test_the_exact_cost_is_told_on_hover_and_to_who_asks_by_key(panel: DesignPanel) -> None:
    row = number(panel, "num_layers")
    assert row.slider is not None
    for widget in (row, row.slider, row.edit):
        hover(widget)
        assert "7: +852,480 parameters" in widget.toolTip()
        assert row.binding.parameter.help in widget.toolTip()
    assert any("+852,480 parameters" in text for text in panel.costs_at(row.slider))
    tied = panel.row("tied_embeddings")
    assert isinstance(tied, FlagRow)
    hover(tied.switch)
    assert "Off: +65,536 parameters" in tied.switch.toolTip()
    hover(panel.row("norm_eps"))
    assert panel.costs_at(panel.row("norm_eps")) == ()
    assert panel.costs_at(panel) == panel.costs_at(None) == ()


def hover(widget: QWidget) -> None:
    QApplication.sendEvent(widget, QHelpEvent(QEvent.Type.ToolTip, QPoint(2, 2), QPoint(2, 2)))
    QToolTip.hideText()


def test_segments_and_switches_change_the_model(panel: DesignPanel, document: Document) -> None:
    activation = panel.row("activation")
    assert isinstance(activation, ChoiceRow)
    assert activation.segments is not None
    QTest.mouseClick(activation.segments.button("gelu"), Qt.MouseButton.LeftButton)
    assert document.model.activation == "gelu"
    QTest.keyClick(activation.segments.button("gelu"), Qt.Key.Key_Left)
    QTest.keyClick(activation.segments.button("relu"), Qt.Key.Key_Space)
    assert document.model.activation == "relu"
    tied = panel.row("tied_embeddings")
    assert isinstance(tied, FlagRow)
    QTest.mouseClick(tied.switch, Qt.MouseButton.LeftButton)
    assert document.model.tied_embeddings is False
    document.undo_stack.undo()
    assert tied.switch.isChecked()


def test_rope_rows_show_only_with_rope(panel: DesignPanel, document: Document) -> None:
    panel.reveal("rope_theta")
    assert panel.row("rope_theta").isVisible()
    assert not panel.row("rope_factor").isVisible()
    document.edit({"rope_scaling": "yarn"})
    assert panel.row("rope_factor").isVisible()
    document.edit({"position": "alibi"})
    for name in ("rope_theta", "rope_scaling", "rope_factor", "rope_original_seq_len"):
        assert not panel.row(name).isVisible()


def test_more_opens_and_tells_so(panel: DesignPanel, qtbot: QtBot) -> None:
    assert not panel.row("norm_eps").isVisible()
    group = next(g for g in panel.groups if g.name == "Positions & norms")
    assert group.more is not None
    with qtbot.waitSignal(panel.disclosed) as told:
        QTest.keyClick(group.more, Qt.Key.Key_Space)
    assert told.args == ["Positions & norms / more", True]
    assert panel.row("norm_eps").isVisible()


def test_the_tab_key_reaches_every_visible_control(panel: DesignPanel) -> None:
    panel.set_disclosed({g.name: True for g in panel.groups})
    expected = {
        control
        for name in (*model_parameters(), *run_parameters())
        if panel.has_row(name) and panel.row(name).isVisible()
        and isinstance(row := panel.row(name), NumberRow)
        for control in (row.slider, row.edit)
        if control is not None
    }  # fmt: skip
    reached: list[QWidget] = []
    widget = panel.nextInFocusChain()
    while widget is not panel:
        reached.append(widget)
        widget = widget.nextInFocusChain()
    assert expected <= set(reached)
    tops = [
        w.mapTo(panel, QPoint()).y() for w in reached if w in expected and isinstance(w, QLineEdit)
    ]
    assert tops == sorted(tops), "the order is that of reading"


def test_what_trains_on_a_card_is_asked_where_a_card_is_chosen(
    panel: DesignPanel, document: Document, qtbot: QtBot
) -> None:
    panel.resize(panel.minimumWidth(), 2_000)
    panel.reveal("precision")
    row = panel.row("card_backend")
    assert isinstance(row, ChoiceRow)
    assert not row.isVisible()
    document.edit(run={"device": "n300:0"})
    assert row.isVisible()
    assert row.segments is not None
    assert row.below is not None
    assert row.below.text() == "1 of 2 chips trains; not yet verified on hardware"
    QTest.mouseClick(row.segments.button("tt-train"), Qt.MouseButton.LeftButton)
    assert document.run.card_backend == "tt-train"
    assert row.below.text() == "both chips train; not yet verified on hardware"
    document.edit(run={"device": "galaxy:0"})
    assert row.below.text() == "all 32 chips train; not yet verified on hardware"
    qtbot.waitUntil(lambda: row.below.width() > 200)
    assert not row.below.is_elided(), row.below.width()
    document.edit(run={"device": "p150:0"})
    assert row.below.text() == "not yet verified on hardware"
    heading = panel.groups[-2].heading
    assert heading is not None
    heading.setChecked(False)
    assert heading.note() == "fp32 · tt-train"
    document.edit(run={"device": "cpu"})
    assert heading.note() == "fp32"


def test_run_settings_are_edited_like_the_model(panel: DesignPanel, document: Document) -> None:
    panel.reveal("batch_size")
    drag(number(panel, "batch_size"), [9])
    assert document.run.batch_size == 32
    panel.reveal("learning_rate")
    typed(number(panel, "learning_rate"), "3e-4")
    assert document.run.learning_rate == 3e-4
    typed(number(panel, "warmup_steps"), "5k")
    assert "longer than the run" in number(panel, "warmup_steps").strip.label.text()


@pytest.mark.parametrize("entry", load_presets(), ids=lambda entry: entry.id)
@pytest.mark.parametrize("machine", [Machine(), HERE], ids=["arithmetic", "measured"])
def test_the_cost_of_a_notch_fits_its_row_in_every_preset(
    panel: DesignPanel, document: Document, qtbot: QtBot, entry: Preset, machine: Machine
) -> None:
    panel.set_machine(machine)
    document.edit(spec_to_dict(entry.model), run_to_dict(entry.run))
    panel.set_disclosed({key: True for g in panel.groups for key in (g.name, g.more_key)})
    panel.resize(panel.minimumWidth(), 3_000)
    rows = [row for row in panel.findChildren(NumberRow) if row.wants_marginal()]
    if entry.total is not None:
        qtbot.waitUntil(lambda: number(panel, "num_layers").below.texts()[1] != "")
    assert len(rows) == len(PRICED)
    for row in rows:
        assert not row.below.is_elided(), row.below.texts()


def test_nothing_is_clipped_at_the_narrowest_width(
    panel: DesignPanel, document: Document, qtbot: QtBot
) -> None:
    document.edit({"vocab_size": 151_936, "hidden_dim": 8_192, "mlp_dim": 28_672,
                   "max_seq_len": 131_072, "num_layers": 80})  # fmt: skip
    panel.set_disclosed({key: True for g in panel.groups for key in (g.name, g.more_key)})
    panel.resize(panel.minimumWidth(), 3_000)
    qtbot.waitUntil(lambda: number(panel, "num_layers").below.texts()[1] != "")
    texts = [t for kind in (Text, TextPair) for t in panel.findChildren(kind) if t.isVisible()]
    assert len(texts) > 60
    for text in texts:
        assert not text.is_elided(), text.text() if isinstance(text, Text) else text.texts()
    for edit in panel.findChildren(QLineEdit):
        if edit.isVisible():
            room = edit.width() - 14
            assert edit.fontMetrics().horizontalAdvance(edit.text()) <= room, edit.text()
