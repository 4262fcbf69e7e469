"""The rows of the Design panel: one parameter each."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from engine.parameter import SpecError, Value
from trickster_gui.controls import fonts
from trickster_gui.controls.combo import QuietCombo
from trickster_gui.controls.segments import Segments, total_width
from trickster_gui.controls.slider import NotchSlider
from trickster_gui.controls.switch import Switch
from trickster_gui.controls.text import Text, TextPair
from trickster_gui.controls.value_edit import ValueEdit
from trickster_gui.design.binding import Binding
from trickster_gui.design.hints import HINTED, hint
from trickster_gui.design.notch_costs import PRICED
from trickster_gui.design.problem_strip import ProblemStrip
from trickster_gui.theme import ThemeSource

CONTENT_PX = 296  # least width of a row's content
_VALUE_PX = 112
_GAP_PX = 8


class Row(QWidget):
    """What all rows have in common: a label, a place for what is wrong, one parameter.

    ``edited`` tells that a person touched it (a refused value counts as touched).
    """

    edited = Signal()

    def __init__(self, binding: Binding, themes: ThemeSource, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.binding, self._themes = binding, themes
        parameter = binding.parameter
        self._refused: SpecError | None = None
        self._problem: SpecError | None = None
        self._told: SpecError | None = None
        self._late = False
        self._costs: Callable[[], Sequence[str]] | None = None
        self._described: list[QWidget] = [self]
        self.setToolTip(_tooltip(parameter.help))
        self.label = Text(themes, fonts.base(), "text", parent=self)
        self.label.setText(parameter.label)
        self.strip = ProblemStrip(self)
        self.strip.fixed.connect(self._fix)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 3, 0, 5)
        self._column.setSpacing(0)

    def refresh(self) -> None:
        """Show the document's value."""
        raise NotImplementedError

    def follow(self) -> None:
        """Show the document's value: now, or for a row that is left out when it comes back."""
        self._late = self.isHidden()
        if not self._late:
            self.refresh()

    def setVisible(self, visible: bool) -> None:
        if visible and self._late:
            self._late = False
            self.refresh()
        super().setVisible(visible)

    def set_problem(self, error: SpecError | None) -> None:
        """Show what is wrong with the design at this row; a refused value comes first."""
        self._problem = error
        if (self._refused or error) is not self._told:
            self._show_error()

    def set_marginal(self, wordings: tuple[str, ...]) -> None:
        """Show what one notch more costs; rows without notches have no place for it."""

    def tell_costs(self, costs: Callable[[], Sequence[str]]) -> None:
        """Ask for what the other values cost when a person wants to know: sentences of text."""
        self._costs = costs
        for widget in self._described:
            widget.installEventFilter(self)

    def costs(self) -> Sequence[str]:
        """What the other values cost, a sentence each; empty where nothing is known of it."""
        return self._costs() if self._costs is not None else ()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.ToolTip and isinstance(watched, QWidget):
            watched.setToolTip(_tooltip(self.binding.parameter.help, self.costs()))
        return False

    def clear_refusal(self) -> None:
        """Forget a value that was refused: the document has moved on."""
        if self._refused is not None:
            self._refused = None
            self._show_error()

    def focus_control(self) -> None:
        """Give the focus to what changes the value."""
        raise NotImplementedError

    def wants_marginal(self) -> bool:
        """Whether it shows what a notch costs."""
        return False

    def _show_error(self) -> None:
        error = self._told = self._refused or self._problem
        self.strip.show_error(error)
        self.label.set_role("danger" if error is not None else "text")

    def _fix(self, error: SpecError) -> None:
        self._refused = None
        self.binding.fix(error)
        self.refresh()
        self._show_error()
        self.focus_control()

    def _submit(self, text: str) -> bool:
        try:
            self._refused = None
            self.binding.set_text(text)
        except SpecError as error:
            self._refused = error
        self._show_error()
        self.edited.emit()
        return self._refused is None

    def _describe(self, control: QWidget) -> None:
        control.setAccessibleName(self.binding.parameter.label)
        control.setAccessibleDescription(self.binding.parameter.help)
        control.setToolTip(self.toolTip())
        self._described.append(control)


class NumberRow(Row):
    """A number: name and exact value, a slider over useful values, what it amounts to and costs."""

    def __init__(
        self, binding: Binding, themes: ThemeSource, parent: QWidget | None = None, *,
        slider: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(binding, themes, parent)
        self._notches: tuple[Value, ...] = ()
        self.edit = ValueEdit(self)
        self.edit.setFixedWidth(_VALUE_PX)
        self.edit.submitted.connect(self._typed)
        self.edit.restored.connect(self.clear_refusal)
        self.edit.stepped.connect(self._step)
        self._describe(self.edit)
        self.edit.setAccessibleName(f"{binding.parameter.label}, exact value")
        self.below = TextPair(themes, fonts.small(), ("muted", "faint"), self)
        self.slider = NotchSlider(themes, self) if slider else None
        top = QHBoxLayout()
        top.setSpacing(_GAP_PX)
        top.addWidget(self.label, 1)
        top.addWidget(self.edit)
        self._column.addLayout(top)
        if self.slider is not None:
            self._connect_slider(self.slider)
            self._column.addWidget(self.slider)
        # A line below only where there can be something to say.
        self._annotated = binding.name in HINTED | PRICED
        self.below.setVisible(self._annotated)
        self._column.addWidget(self.below)
        self._column.addWidget(self.strip)

    def _connect_slider(self, slider: NotchSlider) -> None:
        slider.stroke_began.connect(self.binding.document.begin_stroke)
        slider.stroke_ended.connect(self._stroke_ended)
        slider.chosen.connect(self._slid)
        slider.typed.connect(self.edit.begin)
        self._describe(slider)
        QWidget.setTabOrder(slider, self.edit)

    def refresh(self) -> None:
        if self.slider is not None:
            if not self.slider.dragging():  # the scale stays put under the hand
                self._notches = self.binding.notches()
            if self.binding.value in self._notches:
                at = self._notches.index(self.binding.value)
                self.slider.set_notches(len(self._notches), at)
        text = self.binding.text()
        if not (self.edit.hasFocus() and self.edit.pending()):
            self.edit.show_value(text)
            self._refused = None
        self.below.set_left(hint(self.binding.name, self.binding.document.design))

    def set_marginal(self, wordings: tuple[str, ...]) -> None:
        self.below.set_right_wordings(wordings)

    def wants_marginal(self) -> bool:
        return self.slider is not None and self.binding.name in PRICED

    def focus_control(self) -> None:
        (self.slider or self.edit).setFocus(Qt.FocusReason.OtherFocusReason)

    def _show_error(self) -> None:
        super()._show_error()
        shown = self._annotated and self.strip.error() is None
        if self.below.isVisibleTo(self) != shown:
            self.below.setVisible(shown)

    def _slid(self, notch: int) -> None:
        self._refused = None
        self.edit.show_value(self.edit.text())
        self.binding.set(self._notches[notch], stroke=True)
        self.edited.emit()

    def _stroke_ended(self) -> None:
        self.binding.document.end_stroke()
        self.refresh()

    def _step(self, direction: int) -> None:
        if self.slider is not None:
            values = self.binding.notches()
            at = values.index(self.binding.value) + direction
            self.binding.set(values[max(0, min(len(values) - 1, at))])

    def _typed(self, text: str) -> None:
        if self._submit(text):
            self.edit.show_value(self.binding.text())
        else:
            self.edit.refuse()


class ChoiceRow(Row):
    """A choice: segments where they fit, a list otherwise, and what it amounts to."""

    def __init__(
        self, binding: Binding, themes: ThemeSource, parent: QWidget | None = None
    ) -> None:
        super().__init__(binding, themes, parent)
        choices = binding.parameter.choices
        assert choices is not None
        room = self.label.fontMetrics().horizontalAdvance(self.label.text()) + _GAP_PX + 4
        width = total_width(choices)
        self.segments = Segments(choices, self) if width <= CONTENT_PX else None
        self.combo = QuietCombo(self) if self.segments is None else None
        control: QWidget | None = self.segments or self.combo
        assert control is not None
        self._describe(control)
        if self.segments is not None:
            self.segments.chosen.connect(self._chosen)
            for button in self.segments.buttons():
                button.setAccessibleDescription(binding.parameter.help)
        if self.combo is not None:
            choices_keys = list(choices)
            for key, words in choices.items():
                self.combo.addItem(words, key)
            self.combo.activated.connect(lambda at: self._chosen(str(choices_keys[at])))
        if width + room <= CONTENT_PX or self.combo is not None:
            line = QHBoxLayout()
            line.setSpacing(_GAP_PX)
            line.addWidget(self.label, 1)
            line.addWidget(control)
            self._column.addLayout(line)
        else:
            self._column.addWidget(self.label)
            self._column.addSpacing(3)
            self._column.addWidget(control)
        self.below: Text | None = None
        if binding.name in HINTED:
            self.below = Text(themes, fonts.small(), "muted", parent=self)
            self._column.addSpacing(2)
            self._column.addWidget(self.below)
        self._column.addWidget(self.strip)

    def refresh(self) -> None:
        value = str(self.binding.value)
        if self.segments is not None:
            self.segments.set_choice(value)
        if self.combo is not None:
            self.combo.setCurrentIndex(self.combo.findData(value))
        if self.below is not None:
            self.below.setText(hint(self.binding.name, self.binding.document.design))

    def focus_control(self) -> None:
        if self.segments is not None:
            self.segments.button(self.segments.choice()).setFocus(Qt.FocusReason.OtherFocusReason)
        elif self.combo is not None:
            self.combo.setFocus(Qt.FocusReason.OtherFocusReason)

    def _chosen(self, key: str) -> None:
        self.binding.set(key)
        self.edited.emit()


class FlagRow(Row):
    """A yes or no, as a switch."""

    def __init__(
        self, binding: Binding, themes: ThemeSource, parent: QWidget | None = None
    ) -> None:
        super().__init__(binding, themes, parent)
        self.switch = Switch(themes, self)
        self._describe(self.switch)
        self.switch.clicked.connect(self._clicked)
        self.hint = Text(
            themes, fonts.small(), "muted", align=Qt.AlignmentFlag.AlignRight, parent=self
        )
        line = QHBoxLayout()
        line.setSpacing(_GAP_PX)
        line.addWidget(self.label, 3)
        line.addWidget(self.hint, 2)
        line.addWidget(self.switch)
        self._column.addLayout(line)
        self._column.addWidget(self.strip)

    def refresh(self) -> None:
        self.switch.setChecked(self.binding.value is True)
        self.hint.setText(hint(self.binding.name, self.binding.document.design))

    def focus_control(self) -> None:
        self.switch.setFocus(Qt.FocusReason.OtherFocusReason)

    def _clicked(self, checked: bool) -> None:
        self.binding.set(checked)
        self.edited.emit()


class TextRow(Row):
    """Free text; several texts are separated by |."""

    def __init__(
        self, binding: Binding, themes: ThemeSource, parent: QWidget | None = None
    ) -> None:
        super().__init__(binding, themes, parent)
        self.edit = QLineEdit(self)
        self.edit.setFont(fonts.base())
        self._describe(self.edit)
        if binding.parameter.kind == "texts":
            self.edit.setPlaceholderText("one | another | …")
        self.edit.editingFinished.connect(self._finished)
        self._column.addWidget(self.label)
        self._column.addWidget(self.edit)
        self._column.addWidget(self.strip)

    def refresh(self) -> None:
        value = self.binding.value
        text = "|".join(value) if isinstance(value, tuple) else str(value)
        if not self.edit.hasFocus() and text != self.edit.text():
            self.edit.setText(text)
            self.edit.setCursorPosition(0)

    def focus_control(self) -> None:
        self.edit.setFocus(Qt.FocusReason.OtherFocusReason)

    def _finished(self) -> None:
        if self.edit.isModified():
            self.edit.setModified(False)
            self._submit(self.edit.text())


def _tooltip(text: str, more: Sequence[str] = ()) -> str:
    """What a parameter does and, below, what its other values cost: one line a sentence."""
    below = "".join(
        f"<p style='white-space:normal; margin-top:3px; margin-bottom:0'>{html.escape(said)}</p>"
        for said in more
    )
    return f"<p style='white-space:normal'>{text}</p>{below}"
