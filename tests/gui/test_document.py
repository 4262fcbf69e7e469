"""The document: one way to change the design, and a history of it."""

from __future__ import annotations

import gc
import weakref

from PySide6.QtTest import QSignalSpy
from pytestqt.qtbot import QtBot

from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.document import MAX_TITLE, UNDO_LIMIT, Design, Document, History


def fresh() -> Document:
    return Document(Design(ModelSpec(), RunSpec()))


def test_an_edit_changes_undoes_and_redoes(qtbot: QtBot) -> None:
    document = fresh()
    told = QSignalSpy(document.changed)
    document.edit({"num_layers": 7}, {"steps": 10}, text="Layers: 7")
    assert (document.model.num_layers, document.run.steps) == (7, 10)
    document.undo_stack.undo()
    assert document.design == Design(ModelSpec(), RunSpec())
    document.undo_stack.redo()
    assert document.model.num_layers == 7
    assert told.count() == 3


def test_an_edit_that_changes_nothing_is_no_step(qtbot: QtBot) -> None:
    document = fresh()
    document.edit({"num_layers": 6})
    assert document.undo_stack.count() == 0


def test_strokes_merge_and_one_that_returns_vanishes(qtbot: QtBot) -> None:
    document = fresh()
    document.begin_stroke()
    for layers in (7, 8, 9):
        document.edit({"num_layers": layers}, stroke=True)
    document.end_stroke()
    assert document.undo_stack.count() == 1
    document.begin_stroke()
    for layers in (10, 9):
        document.edit({"num_layers": layers}, stroke=True)
    document.end_stroke()
    assert document.undo_stack.count() == 1
    document.undo_stack.undo()
    assert document.model.num_layers == 6


def test_a_name_is_part_of_the_design(qtbot: QtBot) -> None:
    document = fresh()
    document.rename("  Mine  ")
    assert document.design.title == "Mine"
    document.rename("x" * 500)
    assert len(document.design.title) == MAX_TITLE
    document.rename(" ")
    assert document.design.title == "Untitled"
    document.undo_stack.undo()
    document.undo_stack.undo()
    assert document.design.title == "Mine"


def test_problems_of_the_model_come_before_those_of_the_run(qtbot: QtBot) -> None:
    document = fresh()
    document.edit({"num_heads": 7}, {"warmup_steps": 5_000})
    assert [error.field for error in document.problems()] == ["num_heads", "num_kv_heads"]
    document.edit({"num_heads": 8})
    assert [error.field for error in document.problems()] == ["warmup_steps"]


def test_a_history_comes_back_with_its_steps_and_its_place(qtbot: QtBot) -> None:
    document = fresh()
    for layers in (7, 8, 9):
        document.edit({"num_layers": layers}, text=f"Layers: {layers}")
    document.undo_stack.undo()
    history = document.history()
    other = fresh()
    told = QSignalSpy(other.changed)
    other.restore(history)
    assert told.count() == 1
    assert other.model.num_layers == 8
    assert other.undo_stack.undoText() == "Layers: 8"
    assert other.undo_stack.redoText() == "Layers: 9"
    other.undo_stack.redo()
    assert other.model.num_layers == 9
    for _ in range(3):
        other.undo_stack.undo()
    assert other.design == fresh().design
    assert other.history() == History(history.first, history.steps, 0)


def test_a_history_can_be_cut_to_its_last_steps(qtbot: QtBot) -> None:
    document = fresh()
    for layers in range(7, 17):
        document.edit({"num_layers": layers})
    history = document.history(limit=4)
    assert history.first.model.num_layers == 12
    assert [step.after.model.num_layers for step in history.steps] == [13, 14, 15, 16]


def test_the_undo_stack_is_bounded(qtbot: QtBot) -> None:
    document = fresh()
    for at in range(UNDO_LIMIT + 50):
        document.edit({"num_layers": 1 + at % 100})
    assert document.undo_stack.count() == UNDO_LIMIT


def test_a_document_is_in_no_cycle_with_its_edits(qtbot: QtBot) -> None:
    """Breaking such a cycle in whichever order, the collector crashed Qt at exit."""
    document = fresh()
    for layers in range(7, 17):
        document.edit({"num_layers": layers})
    document.history(limit=4)
    alive = weakref.ref(document)
    gc.disable()
    try:
        del document
        assert alive() is None
    finally:
        gc.enable()
