"""What is wrong with a row, in plain words, and the button that mends it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from engine.parameter import SpecError
from trickster_gui.controls import fonts
from trickster_gui.design.binding import fix_words


class ProblemStrip(QWidget):
    """Shows a SpecError; ``fixed`` carries it when a person takes the way out that it offers."""

    fixed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._error: SpecError | None = None
        self.label = QLabel(self)
        self.label.setFont(fonts.small())
        self.label.setProperty("problem", True)
        self.label.setWordWrap(True)
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self.button = QPushButton(self)
        self.button.setFont(fonts.small(600))
        self.button.setProperty("fix", True)
        self.button.clicked.connect(lambda: self.fixed.emit(self._error))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 2)
        row.setSpacing(8)
        row.addWidget(self.label, 1)
        row.addWidget(self.button)
        self.hide()

    def show_error(self, error: SpecError | None) -> None:
        """Show an error, or nothing."""
        if error is None:
            if self._error is not None:
                self._error = None
                self.hide()
            return
        same = self._error is not None and (self._error.message, self._error.fix) == (
            error.message, error.fix,
        )  # fmt: skip
        self._error = error
        if not same:
            self.label.setText(error.message[:1].upper() + error.message[1:])
            words = fix_words(error)
            self.button.setText(words)
            self.button.setVisible(bool(words))
            self.button.setAccessibleName(f"{words}: {error.message}")
        self.show()

    def error(self) -> SpecError | None:
        """What it shows."""
        return self._error
