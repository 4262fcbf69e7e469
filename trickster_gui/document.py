"""The document: the design and the run settings that the whole window shows and edits.

Everything that a person changes goes through ``edit``; everything that shows it listens to
``changed``. Undo is built in: one drag, one step.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoCommand, QUndoStack

from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_problems
from engine.spec import ModelSpec, problems


@dataclass(frozen=True)
class Design:
    """What a person has designed: the model, how it is trained, and its name."""

    model: ModelSpec
    run: RunSpec
    title: str = "Untitled"


@dataclass(frozen=True)
class HistoryStep:
    """One step of undo: what was done, and the design after it."""

    text: str
    after: Design


@dataclass(frozen=True)
class History:
    """The steps of undo and redo as data, so that a session can come back with them.

    ``first`` is the design before all steps; ``done`` of them have been done, the others undone.
    """

    first: Design
    steps: tuple[HistoryStep, ...] = ()
    done: int = 0


UNDO_LIMIT = 200
MAX_TITLE = 80


class Document(QObject):
    """Holds the Design, its history and its problems.

    ``changed`` carries the new Design after every edit, undo, redo and load, once each.
    """

    changed = Signal(object)

    def __init__(self, design: Design, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._design = design
        self._problems: tuple[Design, tuple[SpecError, ...]] | None = None
        self._stroke = 0
        self.undo_stack = QUndoStack(self)
        self.undo_stack.setUndoLimit(UNDO_LIMIT)

    @property
    def design(self) -> Design:
        """The design as it is now."""
        return self._design

    @property
    def model(self) -> ModelSpec:
        """The model as it is now; may hold problems."""
        return self._design.model

    @property
    def run(self) -> RunSpec:
        """The run settings as they are now; may hold problems."""
        return self._design.run

    def problems(self) -> tuple[SpecError, ...]:
        """Everything that keeps this design from being trained, the model's first.

        Worked out once for each design: all panels ask for it at each tick of a slider.
        """
        if self._problems is None or self._problems[0] is not self._design:
            found = problems(self.model) or run_problems(self.run, self.model)
            self._problems = (self._design, found)
        return self._problems[1]

    def begin_stroke(self) -> None:
        """A drag begins: edits until ``end_stroke`` become one step of undo."""
        self._stroke += 1

    def end_stroke(self) -> None:
        """The drag is over: the next edit is a step of its own."""
        self._stroke += 1

    def edit(
        self,
        model: Mapping[str, Value] | None = None,
        run: Mapping[str, Value] | None = None,
        *,
        text: str = "Edit",
        stroke: bool = False,
    ) -> None:
        """Change parameters by name. ``stroke`` merges with the other edits of this drag."""
        after = Design(
            self.model.replace(**(model or {})), self.run.replace(**(run or {})), self._design.title
        )
        self._push(after, text, self._stroke if stroke else None)

    def rename(self, title: str) -> None:
        """Give the design another name; an empty one makes it Untitled."""
        named = replace(self._design, title=title.strip()[:MAX_TITLE] or "Untitled")
        self._push(named, "Rename", None)

    def load(self, design: Design, text: str = "Load a design") -> None:
        """Replace the whole design, as one step of undo."""
        self._push(design, text, None)

    def history(self, limit: int = UNDO_LIMIT) -> History:
        """The last ``limit`` steps of undo, and those that can be redone."""
        stack = self.undo_stack
        begin = max(0, stack.index() - limit)
        edits = [stack.command(at) for at in range(begin, stack.count())]
        steps = tuple(HistoryStep(e.text(), e.after) for e in edits if isinstance(e, _Edit))
        first = edits[0].before if edits and isinstance(edits[0], _Edit) else self._design
        return History(first, steps, stack.index() - begin)

    def restore(self, history: History) -> None:
        """Take over a history and its present design; ``changed`` tells once."""
        stops: Sequence[Design] = [history.first, *(step.after for step in history.steps)]
        self.blockSignals(True)
        try:
            self.undo_stack.clear()
            self._design = history.first
            for step, before, after in zip(history.steps, stops, stops[1:], strict=False):
                self.undo_stack.push(_Edit(self, before, after, step.text, None))
            self.undo_stack.setIndex(max(0, min(history.done, len(history.steps))))
        finally:
            self.blockSignals(False)
        self.changed.emit(self._design)

    def _push(self, after: Design, text: str, stroke: int | None) -> None:
        if after != self._design:
            self.undo_stack.push(_Edit(self, self._design, after, text, stroke))

    def _apply(self, design: Design) -> None:
        self._design = design
        self.changed.emit(design)


class _Edit(QUndoCommand):
    """One step of undo: the whole design before and after (a few hundred bytes)."""

    def __init__(
        self, document: Document, before: Design, after: Design, text: str, stroke: int | None
    ) -> None:
        super().__init__(text)
        # Not held: document, stack and edits would die in whichever order a cycle is broken, and
        # Qt would touch what is gone.
        self._document = weakref.ref(document)
        self.before, self.after, self.stroke = before, after, stroke

    def id(self) -> int:
        return -1 if self.stroke is None else 1

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, _Edit) or self.stroke is None or other.stroke != self.stroke:
            return False
        self.after = other.after
        self.setObsolete(self.after == self.before)
        return True

    def undo(self) -> None:
        self._go_to(self.before)

    def redo(self) -> None:
        self._go_to(self.after)

    def _go_to(self, design: Design) -> None:
        document = self._document()
        if document is not None:
            document._apply(design)
