"""The cost view as a person meets it: exact texts, mouse, keyboard, devices, problems."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QApplication
from pytestqt.qtbot import QtBot

from engine.cost.evaluation import evaluate
from engine.cost.fit import fit
from engine.cost.limits import room_bytes
from engine.devices.card import Device
from engine.spec import ModelSpec
from tests.computers import computer
from trickster_gui.cost.memory_rows import DeviceRow, source_text
from trickster_gui.cost.view import CostView
from trickster_gui.document import Document
from trickster_gui.theme import DARK, LIGHT, ThemeSource

LEFT = Qt.MouseButton.LeftButton
LLAMA_3_8B = {
    "hidden_dim": 4096, "num_layers": 32, "num_heads": 32, "num_kv_heads": 8, "mlp_dim": 14_336,
    "vocab_size": 128_256, "tied_embeddings": False, "max_seq_len": 8192,
}  # fmt: skip
MakeView = Callable[..., CostView]


def settled(qtbot: QtBot, view: CostView) -> None:
    qtbot.waitUntil(lambda: not view.busy)


def device_row(view: CostView, name: str) -> DeviceRow:
    return next(row for row in view.memory.rows if row.device.name == name)


def test_exact_numbers_of_nano_trickster(view: CostView) -> None:
    assert view.parameters.donut.ring.total == 5_180_672
    names = [row.accessibleName() for row in view.parameters.rows if not row.isHidden()]
    assert names == [
        "Embedding: 65,536 parameters, 1.27 % of all parameters",
        "Positions: 0 parameters, 0.00 % of all parameters",
        "Attention: 1,572,864 parameters, 30.36 % of all parameters",
        "Feed-forward: 3,538,944 parameters, 68.31 % of all parameters",
        "Norms: 3,328 parameters, 0.06 % of all parameters",
        "Output head: 0 parameters, 0.00 % of all parameters",
    ]
    assert view.compute.parts["mlp"].value == "52.4 %"
    assert view.compute.sizes["KV cache a token"].value == "6.00 KiB"


def test_it_follows_the_document(qtbot: QtBot, view: CostView, document: Document) -> None:
    with qtbot.waitSignal(view.cost_changed):
        document.edit(LLAMA_3_8B)
    assert view.parameters.donut.ring.total == 8_030_261_248
    with qtbot.waitSignal(view.cost_changed):
        document.undo_stack.undo()
    assert view.parameters.donut.ring.total == 5_180_672


def test_many_edits_of_one_moment_are_one_evaluation(
    qtbot: QtBot, view: CostView, document: Document
) -> None:
    seen: list[object] = []
    view.cost_changed.connect(seen.append)
    for layers in range(1, 6):
        document.edit({"num_layers": layers}, stroke=True)
    qtbot.waitUntil(lambda: bool(seen))
    settled(qtbot, view)
    assert len(seen) == 1


def test_pointing_at_a_slice_tells_its_formula(qtbot: QtBot, view: CostView) -> None:
    panel = view.parameters
    qtbot.mouseMove(panel.donut, panel.donut.middle_of(3).toPoint())
    qtbot.waitUntil(lambda: "6 × 3·256·768 = 3,538,944" in panel.detail_text)
    assert panel.detail_text.startswith("Feed-forward\n3,538,944\n68.31 % of all parameters")
    assert panel.rows[3].lit
    qtbot.mouseMove(panel.donut, panel.donut.rect().center())
    qtbot.waitUntil(lambda: not panel.rows[3].lit)


def test_a_click_goes_into_a_block_and_esc_comes_back(qtbot: QtBot, view: CostView) -> None:
    panel = view.parameters
    qtbot.mouseClick(panel.donut, LEFT, pos=panel.donut.middle_of(2).toPoint())
    assert panel.in_block
    assert panel.donut.ring.total == 852_480
    assert [row.piece.name for row in panel.rows if row.piece][:2] == ["Norm 1", "Query"]
    assert not panel.back.isHidden()
    panel.rows[0].setFocus()
    qtbot.keyClick(panel.rows[0], Qt.Key.Key_Escape)
    assert not panel.in_block
    assert panel.donut.ring.total == 5_180_672
    panel.enter_block()
    qtbot.mouseClick(panel.back, LEFT)
    assert not panel.in_block


def test_inside_a_block_a_drag_stays_inside(
    qtbot: QtBot, view: CostView, document: Document
) -> None:
    view.parameters.enter_block()
    with qtbot.waitSignal(view.cost_changed):
        document.edit({"mlp_dim": 1024}, stroke=True)
    assert view.parameters.in_block
    assert view.parameters.donut.ring.total == 852_480 + 3 * 256 * 256


def test_arrow_keys_move_among_the_slices(qtbot: QtBot, view: CostView) -> None:
    panel = view.parameters
    panel.rows[0].setFocus()
    qtbot.keyClick(panel.rows[0], Qt.Key.Key_Down)
    qtbot.keyClick(panel.rows[1], Qt.Key.Key_Down)
    assert panel.rows[2].hasFocus()
    assert panel.detail_text.startswith("Attention\n1,572,864")
    qtbot.keyClick(panel.rows[2], Qt.Key.Key_End)
    assert panel.rows[5].hasFocus()
    qtbot.keyClick(panel.rows[5], Qt.Key.Key_Home)
    assert panel.rows[0].hasFocus()
    qtbot.keyClick(panel.rows[0], Qt.Key.Key_Down)
    qtbot.keyClick(panel.rows[1], Qt.Key.Key_Down)
    qtbot.keyClick(panel.rows[2], Qt.Key.Key_Return)
    assert panel.in_block
    assert panel.rows[0].hasFocus()


def test_everything_that_takes_the_keyboard_says_what_it_is(view: CostView) -> None:
    assert view.parameters.donut.accessibleName() == "5,180,672 parameters in the model"
    buttons = [button for button in view.findChildren(QAbstractButton) if button.isVisible()]
    assert len(buttons) > 25
    for button in buttons:
        assert button.accessibleName() or button.text(), button
        assert button.accessibleDescription(), button.accessibleName()


def test_the_fix_says_what_it_does(qtbot: QtBot, view: CostView, document: Document) -> None:
    document.edit({"num_heads": 7, "num_kv_heads": 7})
    qtbot.waitUntil(view.banner.isVisible)
    button = view.banner.button
    assert button.text().startswith("Set Attention heads to 8")
    assert button.accessibleDescription() == "Repairs the design in one step; undo takes it back."


def test_one_tab_stop_for_each_table(view: CostView) -> None:
    strong = Qt.FocusPolicy.StrongFocus
    for group in (view.parameters.rows, view.memory.rows):
        assert [row.focusPolicy() for row in group].count(strong) == 1


@pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True)  # of the tooltip
def test_the_exact_number_is_copied(qtbot: QtBot, view: CostView) -> None:
    panel = view.parameters
    panel.rows[2].setFocus()
    qtbot.keyClick(panel.rows[2], Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "1572864"
    qtbot.mouseClick(panel.donut, LEFT, pos=panel.donut.rect().center())
    assert QGuiApplication.clipboard().text() == "5180672"
    qtbot.mouseClick(view.compute.sizes["Whole run"], LEFT)
    assert view.cost is not None
    assert QGuiApplication.clipboard().text() == str(view.cost.run_flops)


def test_every_device_has_a_verdict_in_words(
    view: CostView, document: Document, devices: tuple[Device, ...]
) -> None:
    for row, device in zip(view.memory.rows, devices, strict=True):
        wanted = fit(document.model, document.run, device)
        assert row.fit == wanted
        assert wanted.verdict in row.accessibleName()
        assert device.title in row.accessibleName()
        assert wanted.reason in row.accessibleDescription()
        assert device.source in row.toolTip()


def test_choosing_a_device(qtbot: QtBot, view: CostView) -> None:
    assert view.device is not None
    assert view.device.name == "cpu"  # what the run's "auto" means here
    with qtbot.waitSignal(view.device_selected) as chosen:
        qtbot.mouseClick(device_row(view, "p150"), LEFT)
    assert chosen.args == ["p150"]
    assert [row.device.name for row in view.memory.rows if row.selected] == ["p150"]
    assert view.compute.time.name == "Time on p150"
    assert "estimate" in view.compute.time.sure
    assert view.memory.reason_text.startswith("Blackhole p150a/b: 31.9 GiB.")


def test_keys_choose_a_device(qtbot: QtBot, view: CostView) -> None:
    last = view.memory.rows[-1]
    last.setFocus()
    qtbot.keyClick(last, Qt.Key.Key_Up)
    galaxy = device_row(view, "galaxy")
    assert galaxy.hasFocus()
    assert view.memory.reason_text.startswith("Galaxy")
    with qtbot.waitSignal(view.device_selected) as chosen:
        qtbot.keyClick(galaxy, Qt.Key.Key_Return)
    assert chosen.args == ["galaxy"]
    assert view.compute.time.value == "not published"


def test_an_unknown_name_chooses_nothing(qtbot: QtBot, view: CostView) -> None:
    view.set_selected_device("n9000")
    settled(qtbot, view)
    assert not any(row.selected for row in view.memory.rows)
    assert view.memory.reason_text == "Choose a device to see what limits it."
    assert not view.memory.batch.isEnabled()


@pytest.mark.parametrize("name", ["n150", "n300", "cpu"])
def test_the_largest_batch_fits_and_one_more_does_not(
    qtbot: QtBot, make_view: MakeView, document: Document, name: str
) -> None:
    view = make_view(device=name)
    device = view.device
    assert device is not None
    qtbot.mouseClick(view.memory.batch, LEFT)
    batch = document.run.batch_size
    assert view.memory.batch.accessibleName() == f"Largest batch that fits: {batch:,}"
    room = room_bytes(device)
    assert room is not None
    assert fit(document.model, document.run, device).needed_bytes <= room
    more = document.run.replace(batch_size=batch + device.chips)
    assert fit(document.model, more, device).needed_bytes > room
    assert document.undo_stack.undoText() == f"Largest batch that fits {device.title}"
    assert document.undo_stack.count() == 1


def test_the_largest_context_fits_and_one_more_does_not(
    qtbot: QtBot, make_view: MakeView, document: Document
) -> None:
    document.edit({"position": "learned"}, {"seq_len": 128})
    view = make_view(device="n150")
    assert view.device is not None
    qtbot.mouseClick(view.memory.context, LEFT)
    assert document.run.seq_len is None
    longest = document.model.max_seq_len
    assert not document.problems()
    room = room_bytes(view.device)
    assert room is not None
    assert fit(document.model, document.run, view.device).needed_bytes <= room
    longer = document.model.replace(max_seq_len=longest + 1)
    assert fit(longer, document.run, view.device).needed_bytes > room


def test_a_shorter_context_leaves_no_original_context_behind(
    qtbot: QtBot, make_view: MakeView, document: Document
) -> None:
    document.edit({
        "max_seq_len": 1 << 20, "rope_scaling": "yarn", "rope_original_seq_len": 1 << 19,
        "rope_factor": 2.0,
    })  # fmt: skip
    view = make_view(device="n150")
    qtbot.mouseClick(view.memory.context, LEFT)
    assert document.model.max_seq_len < 1 << 19
    assert not document.problems()


def test_where_nothing_fits_the_buttons_say_none(
    qtbot: QtBot, make_view: MakeView, document: Document
) -> None:
    document.edit(LLAMA_3_8B)
    view = make_view(device="n150")
    assert view.memory.batch.accessibleName() == "Largest batch that fits: none"
    assert not view.memory.batch.isEnabled()
    assert device_row(view, "n150").accessibleName().startswith("Wormhole n150, chosen: does not")


def test_a_problem_dims_the_last_good_design_and_names_the_row(
    qtbot: QtBot, view: CostView, document: Document
) -> None:
    places = [w.geometry() for w in (view.parameters, view.memory, view.compute)]
    document.edit({"num_heads": 7})
    qtbot.waitUntil(view.banner.isVisible)
    assert view.banner.lines[0] == "Attention heads"
    assert "256 is not divisible by 7 heads" in view.banner.lines[1]
    assert view.parameters.donut.ring.total == 5_180_672
    assert view.parameters.look.dim
    assert [w.geometry() for w in (view.parameters, view.memory, view.compute)] == places
    assert view.rect().contains(view.banner.geometry())
    qtbot.mouseClick(view.banner.button, LEFT)
    qtbot.waitUntil(view.banner.isHidden)
    assert not document.problems()
    assert not view.parameters.look.dim


def test_a_problem_of_the_run_is_named_too(
    qtbot: QtBot, view: CostView, document: Document
) -> None:
    document.edit(run={"seq_len": 1024})
    qtbot.waitUntil(view.banner.isVisible)
    assert view.banner.lines[0] == "Sequence length"
    qtbot.mouseClick(view.banner.button, LEFT)
    qtbot.waitUntil(view.banner.isHidden)
    assert document.run.seq_len is None


def test_a_window_that_opens_with_a_bad_design(
    qtbot: QtBot, make_view: MakeView, document: Document
) -> None:
    document.edit({"num_heads": 7, "num_kv_heads": 7})
    view = make_view()
    assert view.cost is None
    assert view.banner.isVisible()
    view.grab()
    with qtbot.waitSignal(view.cost_changed):
        document.undo_stack.undo()
    assert view.parameters.donut.ring.total == 5_180_672


def test_what_if_as_a_popover_where_there_is_little_room(qtbot: QtBot, view: CostView) -> None:
    table = view.compute.what_if
    assert not table.isVisible()
    qtbot.mouseClick(view.compute.more, LEFT)
    assert table.isVisible()
    assert view.rect().contains(table.geometry())
    assert [one.name for one in table.doublings] == ["context", "hidden", "layers"]
    assert "Twice the hidden: Parameters × 3.97" in table.accessibleDescription()
    qtbot.keyClick(table, Qt.Key.Key_Escape)
    assert not table.isVisible()
    qtbot.mouseClick(view.compute.more, LEFT)
    view.parameters.rows[0].setFocus()
    assert not table.isVisible()


def test_what_if_inline_where_there_is_room(make_view: MakeView) -> None:
    view = make_view(1500, 480)
    assert view.compute.what_if.isVisible()
    assert not view.compute.what_if.floating
    assert len(view.compute.what_if.doublings) == 3
    assert view.compute.more.isHidden()


def test_number_formats_for_use(qtbot: QtBot, view: CostView) -> None:
    row = view.compute.inference
    assert (row.name, row.value) == ("To use it, in bf16", "9.88 MiB")
    qtbot.mouseClick(row, LEFT)
    assert (row.name, row.value) == ("To use it, in int8", "5.07 MiB")


def test_the_theme_repaints_everything(view: CostView, themes: ThemeSource) -> None:
    def surface_at(point: QPoint) -> str:
        return QColor(view.grab().toImage().pixelColor(point)).name()

    parts = (view.parameters, view.memory.rows[0], view.compute.tokens)
    spots = [part.mapTo(view, part.rect().topLeft() + QPoint(1, 1)) for part in parts]
    spots.append(QPoint(view.width() // 2, 6))
    assert {surface_at(spot) for spot in spots} == {LIGHT.surface}
    themes.choose("dark")
    assert {surface_at(spot) for spot in spots} == {DARK.surface}
    donut = view.parameters.donut
    at = donut.mapTo(view, donut.middle_of(3).toPoint())
    assert surface_at(at) == DARK.components["mlp"]


def test_figures_that_nobody_publishes_say_so(devices: tuple[Device, ...]) -> None:
    galaxy = next(device for device in devices if device.name == "galaxy")
    assert "Bandwidth: not published" in source_text(galaxy)
    assert "Computed, not printed there" in source_text(galaxy)


def test_more_devices_than_rows_can_be_scrolled_by_keys(
    qtbot: QtBot, view: CostView, devices: tuple[Device, ...]
) -> None:
    gpus = [
        Device(f"cuda:{n}", f"NVIDIA H100 number {n}", "cuda", 1, 80 << 30, 80 << 30)
        for n in range(16)
    ]
    view.set_devices((*devices, *gpus))
    settled(qtbot, view)
    rows = view.memory.rows
    assert rows[-1].isHidden()
    rows[0].setFocus()
    for at in range(len(rows) - 1):
        qtbot.keyClick(rows[at], Qt.Key.Key_Down)
    assert rows[-1].hasFocus()
    assert not rows[-1].isHidden()
    assert rows[0].isHidden()


def test_nothing_moves_while_dragging(qtbot: QtBot, view: CostView, document: Document) -> None:
    def places() -> list[object]:
        rows = [*view.parameters.rows, *view.memory.rows, view.compute.time, view.memory.batch]
        return [row.geometry() for row in rows]

    before = places()
    for width in (64, 1024, 16_384):
        with qtbot.waitSignal(view.cost_changed):
            document.edit({"hidden_dim": width, "mlp_dim": 3 * width}, stroke=True)
        assert places() == before


def test_the_cost_is_that_of_the_chosen_device(
    view: CostView, document: Document, devices: tuple[Device, ...]
) -> None:
    view.set_selected_device("n150")
    on_card = document.run.replace(device="n150")
    assert view.cost == evaluate(ModelSpec(), on_card, devices, None)


def test_tab_goes_from_left_to_right(qtbot: QtBot, make_view: MakeView) -> None:
    view = make_view(device="n150")
    view.parameters.rows[0].setFocus()
    reached = []
    for _ in range(6):
        widget = QApplication.focusWidget()
        assert widget is not None
        reached.append(widget.accessibleName() or widget.text())
        qtbot.keyClick(widget, Qt.Key.Key_Tab)
    assert reached[0].startswith("Embedding")
    assert reached[1].startswith("Lower the peak")
    assert reached[2].startswith("Wormhole n150, chosen")
    assert reached[3].startswith("Largest batch")
    assert reached[4].startswith("Largest context")
    assert reached[5].startswith("Projections")


def test_a_device_of_unknown_memory(qtbot: QtBot, view: CostView) -> None:
    view.set_devices((Device("mystery", "Mystery card", "card", 1, None, None),))
    view.set_selected_device("mystery")
    settled(qtbot, view)
    view.grab()
    row = view.memory.rows[0]
    assert row.accessibleName() == "Mystery card, chosen: unknown, not published"
    assert "not known" in view.memory.reason_text
    assert not view.memory.batch.isEnabled()


def test_exact_bytes_are_told_on_hover(view: CostView) -> None:
    assert view.cost is not None
    words = view.memory.toolTip()
    assert f"{view.cost.memory.peak_bytes:,} bytes" in words
    for phase in view.cost.memory.phases:
        assert phase.name in words


def test_a_calibration_predicts_a_time(qtbot: QtBot, view: CostView, document: Document) -> None:
    assert view.compute.time.value == "not measured"
    view.set_calibration(None, measuring=True)
    assert view.compute.time.value == "measuring…"
    view.set_calibration(computer(document.model, document.run, 0.5))
    assert view.cost is not None
    assert view.cost.total_seconds is not None
    assert view.compute.time.value.startswith("≈ ")
    assert view.compute.time.sure.startswith("estimate, ")
    assert view.cost.total_seconds.source in view.compute.time.toolTip()


def test_a_tick_is_drawn_within_a_frame(qtbot: QtBot, view: CostView, document: Document) -> None:
    """A guard against something slow on the path of a drag: processor time, far above usual."""
    times = []
    for width in range(256, 256 + 40 * 64, 64):
        began = time.thread_time()
        document.edit({"hidden_dim": width, "mlp_dim": 3 * width}, stroke=True)
        view.refresh()
        QApplication.processEvents()
        times.append(time.thread_time() - began)
    assert statistics.median(times) < 0.050


def test_rows_stay_where_only_free_memory_changes(
    qtbot: QtBot, make_view: MakeView, devices: tuple[Device, ...]
) -> None:
    view = make_view(device="cpu")
    row = device_row(view, "cpu")
    assert row.fit is not None
    assert row.fit.verdict == "fits"
    row.setFocus()
    busy = tuple(
        replace(device, free_bytes=1 << 20) if device.name == "cpu" else device
        for device in devices
    )
    view.set_devices(busy)
    settled(qtbot, view)
    assert device_row(view, "cpu") is row
    assert row.hasFocus()
    assert row.fit.verdict == "tight"
    assert "are free now" in view.memory.reason_text
    assert "Free when asked: 1.00 MiB" in row.toolTip()
    view.grab()
