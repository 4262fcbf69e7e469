"""PythonRow: the worker's Python, the button that makes one, and how far that is."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from engine.devices.preflight import Preflight
from trickster_gui.cards.environment import MakingState, could_help, promise, words
from trickster_gui.controls import fonts
from trickster_gui.controls.buttons import dialog_button
from trickster_gui.controls.progress_line import ProgressLine
from trickster_gui.controls.text import Text
from trickster_gui.theme import ThemeSource

_NOTE_LINES = 2
_NARROWEST = 600  # px at which the note has no more lines than that
_MAKE_NAME = "Make the Python environment that a worker for this card runs under"
_CANCEL_NAME = "End this; what was begun is undone"


class PythonRow(QWidget):
    """One row, and below it a line that has its place whether it says something or not.

    make_wanted, cancel_wanted, choose_wanted    the buttons
    """

    make_wanted = Signal()
    cancel_wanted = Signal()
    choose_wanted = Signal()

    def __init__(self, themes: ThemeSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._themes = themes
        self._state = MakingState()
        self.python = Text(themes, fonts.base(), "text", parent=self)
        self.make = self._button(_MAKE_NAME, ("Make it", "Mend it", "Cancel", "Cancelling…"))
        self.make.clicked.connect(self._pressed)
        self.choose = self._button(
            "Choose the Python that a worker for this card runs under", ("Choose…",)
        )
        self.choose.setText("Choose…")
        self.choose.clicked.connect(self.choose_wanted)
        self.note = QLabel(self)
        self.note.setTextFormat(Qt.TextFormat.PlainText)  # what pip says is no markup
        self.note.setFont(fonts.small())
        self.note.setWordWrap(True)
        self.note.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.note.setMinimumHeight(_NOTE_LINES * QFontMetrics(fonts.small()).lineSpacing())
        self.bar = ProgressLine(themes, self, of="the environment")
        for widget in (self.bar, self.make):  # they keep their place
            policy = widget.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            widget.setSizePolicy(policy)
        self._arrange()

    def _button(self, name: str, texts: tuple[str, ...]) -> QPushButton:
        button = dialog_button("", name, self)
        button.setAccessibleName(name)  # its words change
        width = 0
        for text in texts:  # as wide as the longest, so that nothing moves when it changes
            button.setText(text)
            width = max(width, button.sizeHint().width())
        if len(texts) > 1:
            button.setMinimumWidth(width)
        return button

    def _arrange(self) -> None:
        label = QLabel("Python for the worker", self)
        label.setFont(fonts.base(600))
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(label)
        row.addSpacing(2)
        row.addWidget(self.python, 1)
        row.addWidget(self.make)
        row.addWidget(self.choose)
        self.setMinimumWidth(_NARROWEST)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.bar)
        column.addWidget(self.note)

    def show_state(
        self, report: Preflight | None, state: MakingState, *, checking: bool, of_use: bool = True
    ) -> None:
        """Show what is known of the card, and how far the environment is.

        ``of_use``: whether what is made here is what would train on the card.
        """
        self._state = state
        busy = state.step != "idle"
        helps = of_use and could_help(report)
        self._show_python(report)
        self.make.setVisible(busy or helps)
        self.make.setText(_button_words(report, state))
        self.make.setEnabled(state.step == "making" or (not busy and not checking))
        name = _CANCEL_NAME if busy else _MAKE_NAME
        self.make.setAccessibleName(name)
        self.make.setToolTip(name if busy else f"{name}. {promise()}")
        self.choose.setEnabled(not busy and not checking)
        self._show_note(state, offered=not checking and helps)

    def _show_python(self, report: Preflight | None) -> None:
        interpreter = None if report is None else report.interpreter
        self.python.set_role("muted" if interpreter is None else "text")
        path = "none found" if interpreter is None else str(interpreter)
        self.python.setText("" if report is None else path)
        self.python.setToolTip(path)
        self.python.setAccessibleName(f"Python for the worker: {path}")

    def _show_note(self, state: MakingState, *, offered: bool) -> None:
        progress, role, said = state.progress, "muted", ""
        if state.error:
            role, said = "danger", state.error[:1].upper() + state.error[1:]
        elif state.step == "cancelling":
            said = "Cancelling: what was begun is undone…"
        elif state.step == "making":
            said = "Starting…" if progress is None else progress.text
            said += f" · {progress.detail}" if progress is not None and progress.detail else ""
        elif offered:
            said = promise()
        self.note.setText(said)
        self.note.setStyleSheet(f"color: {getattr(self._themes.current, role)};")
        self.bar.setVisible(state.step != "idle")
        self.bar.show_fraction(0.0 if progress is None else progress.fraction)

    def _pressed(self) -> None:
        if self._state.step == "making":
            self.cancel_wanted.emit()
        elif self._state.step == "idle":
            self.make_wanted.emit()


def _button_words(report: Preflight | None, state: MakingState) -> str:
    if state.step == "idle":
        return words(report)
    return "Cancel" if state.step == "making" else "Cancelling…"
