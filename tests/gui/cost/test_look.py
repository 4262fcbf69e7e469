"""Every text fits its place, at the smallest size and on a large screen."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QFontMetrics, QPainter
from pytestqt.qtbot import QtBot

from engine.parameter import Value
from trickster_gui.cost import ink
from trickster_gui.cost.rows import Row
from trickster_gui.cost.view import CostView
from trickster_gui.document import Document

MakeView = Callable[..., CostView]
DESIGNS: dict[str, dict[str, Value]] = {
    "nano-trickster": {},
    "tiny-llama": {
        "hidden_dim": 2048, "num_layers": 22, "num_heads": 32, "num_kv_heads": 4, "mlp_dim": 5632,
        "vocab_size": 32_000, "tied_embeddings": False, "max_seq_len": 2048,
    },
    "llama-3-8b": {
        "hidden_dim": 4096, "num_layers": 32, "num_heads": 32, "num_kv_heads": 8,
        "mlp_dim": 14_336, "vocab_size": 128_256, "tied_embeddings": False, "max_seq_len": 8192,
    },
    "gpt-2": {
        "hidden_dim": 768, "num_layers": 12, "num_heads": 12, "num_kv_heads": 12, "mlp_dim": 3072,
        "vocab_size": 50_257, "max_seq_len": 1024, "activation": "gelu", "norm": "layernorm",
        "position": "learned", "qkv_bias": True, "attention_output_bias": True, "mlp_bias": True,
    },
    "smallest": {
        "hidden_dim": 2, "num_layers": 1, "num_heads": 1, "num_kv_heads": 1, "mlp_dim": 1,
        "vocab_size": 2, "max_seq_len": 1,
    },
    "70b": {
        "hidden_dim": 8192, "num_layers": 80, "num_heads": 64, "num_kv_heads": 8,
        "mlp_dim": 28_672, "vocab_size": 128_256, "tied_embeddings": False,
        "max_seq_len": 131_072,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Written:
    """A text that was drawn, the room it had and the room it took."""

    text: str
    room: QRectF
    taken: QRectF
    widget: QRectF
    place: int

    @property
    def clipped(self) -> bool:
        slack = QRectF(-1, -2, 2, 4)
        room = QRectF(self.room.topLeft() + slack.topLeft(), self.room.size())
        room.setSize(room.size() + QRectF(0, 0, 2, 4).size())
        on_screen = self.widget.adjusted(-1, -1, 1, 1).contains(self.taken)
        return not room.contains(self.taken) or not on_screen


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Written]:
    """Every text drawn from now on."""
    found: list[Written] = []
    draw = ink.put

    def put(
        painter: QPainter,
        rect: QRect | QRectF,
        text: str,
        align: Qt.AlignmentFlag = ink.LEFT,
        *,
        wrap: bool = False,
    ) -> None:
        draw(painter, rect, text, align, wrap=wrap)
        flags = int(align.value) | (Qt.TextFlag.TextWordWrap.value if wrap else 0)
        shown = ink.unbroken(text) if wrap else text
        metrics = QFontMetrics(painter.font())
        taken = metrics.boundingRect(QRectF(rect).toRect(), flags, shown)
        widget = QRectF(QRect(0, 0, painter.device().width(), painter.device().height()))
        found.append(Written(text, QRectF(rect), QRectF(taken), widget, id(painter.device())))

    monkeypatch.setattr(ink, "put", put)
    return found


@pytest.mark.parametrize("size", [(923, 330), (940, 330), (1500, 480), (2400, 900)])
@pytest.mark.parametrize("design", DESIGNS)
def test_no_text_is_clipped(
    qtbot: QtBot,
    make_view: MakeView,
    document: Document,
    written: list[Written],
    design: str,
    size: tuple[int, int],
) -> None:
    document.edit(DESIGNS[design], {"batch_size": 8})
    view = make_view(*size, device="t3k")
    for in_block in (False, True):
        (view.parameters.enter_block if in_block else view.parameters.leave_block)()
        for row in [row for row in view.parameters.rows if not row.isHidden()]:
            row.setFocus()
            view.parameters.repaint()
        view.grab()
    for device in view.memory.rows:
        device.pointed.emit(True)
        view.memory.repaint()
        device.pointed.emit(False)
    assert len(written) > 200
    clipped = {one.text for one in written if one.clipped}
    assert not clipped
    assert not {one.text for one in written if one.text.endswith("…")} - {"Twice the …"}


@pytest.mark.parametrize("design", DESIGNS)
def test_no_text_lies_on_another(
    make_view: MakeView, document: Document, written: list[Written], design: str
) -> None:
    document.edit(DESIGNS[design], {"batch_size": 8})
    view = make_view(923, 330, device="n300")
    parts = [view.parameters, view.memory, view.compute]
    rows = [*view.memory.rows, *view.compute.findChildren(Row)]
    for in_block in (False, True):
        (view.parameters.enter_block if in_block else view.parameters.leave_block)()
        rows += [row for row in view.parameters.rows if not row.isHidden()]
        for widget in [*parts, view.parameters.donut, *rows]:
            written.clear()
            widget.repaint()
            own = [one for one in written if one.place == id(widget) and one.text]
            for first, second in itertools.combinations(own, 2):
                common = first.taken & second.taken
                assert common.width() < 2 or common.height() < 2, (first.text, second.text)


def test_the_problem_is_not_clipped(
    qtbot: QtBot, make_view: MakeView, document: Document, written: list[Written]
) -> None:
    view = make_view()
    for change in (
        {"num_heads": 7}, {"num_kv_heads": 3}, {"hidden_dim": 10**17},
        {"rope_scaling": "yarn", "rope_original_seq_len": 600_000},
    ):  # fmt: skip
        document.edit(change)
        qtbot.waitUntil(lambda: view.banner.isVisible() and not view.busy)
        view.grab()
        document.undo_stack.undo()
    assert not {one.text for one in written if one.clipped}


def test_the_fonts_grow_with_the_screen(make_view: MakeView) -> None:
    view = make_view()
    small = view.parameters.look.base.pixelSize()
    view.resize(1500, 480)
    assert view.parameters.look.base.pixelSize() == small + 2
    view.resize(940, 330)
    assert view.parameters.look.base.pixelSize() == small
