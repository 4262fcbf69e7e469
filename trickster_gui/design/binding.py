"""What ties a row to one parameter of the document, of the model or of the run."""

from __future__ import annotations

from typing import Literal

from engine.parameter import Parameter, SpecError, Value, show
from engine.run_spec import run_parameters
from engine.spec import model_parameters
from engine.steps import linked_changes, useful_values
from trickster_gui.design.notches import run_values
from trickster_gui.document import Document

Part = Literal["model", "run"]


class Binding:
    """One parameter of the document: read it, step through it, change it."""

    def __init__(self, document: Document, part: Part, name: str) -> None:
        self.document, self.part, self.name = document, part, name
        declared = model_parameters() if part == "model" else run_parameters()
        self.parameter: Parameter = declared[name]

    @property
    def value(self) -> Value:
        """The value as it is now."""
        holder = self.document.model if self.part == "model" else self.document.run
        value: Value = getattr(holder, self.name)
        return value

    def notches(self) -> tuple[Value, ...]:
        """The useful values, the present one among them."""
        if self.part == "model":
            return useful_values(self.name, self.document.model)
        return run_values(self.name, self.document.run, self.document.model)

    def text(self) -> str:
        """The value in full, as one would type it."""
        return exact_text(self.value, self.parameter)

    def set(self, value: Value, *, stroke: bool = False) -> None:
        """Change it, with what is meant to change along (key/value heads with the heads)."""
        said = f"{self.parameter.label}: {spoken(value, self.parameter)}"
        if self.part == "model":
            changes = linked_changes(self.document.model, self.name, value)
            self.document.edit(model=changes, text=said, stroke=stroke)
        else:
            self.document.edit(run={self.name: value}, text=said, stroke=stroke)

    def set_text(self, text: str) -> None:
        """Change it to what a person typed; raises SpecError in plain words."""
        self.set(self.parameter.parse(text))

    def fix(self, error: SpecError) -> None:
        """Apply the way out that an error offers, as one step of undo."""
        apply_fix(self.document, error)


def apply_fix(document: Document, error: SpecError) -> None:
    """Change the document as an error advises, as one step of undo."""
    model = {k: v for k, v in error.fix.items() if k in model_parameters()}
    run = {k: v for k, v in error.fix.items() if k in run_parameters()}
    document.edit(model=model, run=run, text=f"Fix: {error.message}")


def exact_text(value: Value, parameter: Parameter) -> str:
    """A value in full, as a person types it: 32,000 · 1e-05 · automatic."""
    if value is None:
        return parameter.none_label
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return show(value) if not isinstance(value, str) else value
    if isinstance(value, int):
        return f"{value:,}"
    if value.is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return repr(value)


def spoken(value: Value, parameter: Parameter) -> str:
    """A value in words: a choice by what it is called."""
    if parameter.choices is not None and isinstance(value, str):
        return parameter.choices.get(value, value)
    return exact_text(value, parameter)


def fix_words(error: SpecError) -> str:
    """What the button of a fix says: Use 8 · Set hidden size to 264."""
    if not error.fix:
        return ""
    declared = {**run_parameters(), **model_parameters()}
    if error.field in error.fix:
        return f"Use {spoken(error.fix[error.field], declared[error.field])}"
    name, value = next(iter(error.fix.items()))
    parameter = declared[name]
    return f"Set {parameter.label.lower()} to {spoken(value, parameter)}"
