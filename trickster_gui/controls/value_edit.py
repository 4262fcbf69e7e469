"""An exact value that one can type over."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QLineEdit, QWidget

from trickster_gui.controls import fonts

_UNDO, _REDO = QKeySequence.StandardKey.Undo, QKeySequence.StandardKey.Redo


class ValueEdit(QLineEdit):
    """Shows a value; ``submitted`` carries what a person typed in its place.

    Enter or leaving submits, Escape restores. A value that was refused stays, marked, so that it
    can be mended. Up and Down step (``stepped`` carries +1 or -1).
    """

    submitted = Signal(str)
    stepped = Signal(int)
    restored = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown = ""
        self.setFont(fonts.base())
        self.setMaxLength(64)
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self._refused = False
        self.setProperty("refused", False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def show_value(self, text: str) -> None:
        """Show a value; whatever was being typed is replaced."""
        if text != self._shown or text != self.text():
            self._shown = text
            self.setText(text)
            if self.hasFocus():
                self.selectAll()
        self._mark(False)

    def refuse(self) -> None:
        """Mark what was typed as refused."""
        self._mark(True)

    def begin(self, text: str) -> None:
        """Take the focus with ``text`` as the beginning of a new value."""
        self.setFocus(Qt.FocusReason.OtherFocusReason)
        self.setText(text)
        self.end(False)

    def pending(self) -> bool:
        """Whether a value was typed and neither taken nor refused yet."""
        return self.text() != self._shown and not self._refused

    def event(self, event: QEvent) -> bool:
        if (
            event.type() is QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and not self.pending()
            and (event.matches(_UNDO) or event.matches(_REDO))
        ):
            event.ignore()  # nothing typed to take back: undo is the design's
            return False
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if key == Qt.Key.Key_Escape and (self.text() != self._shown or self._refused):
            self._restore()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._submit()
            self.selectAll()
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and not self.pending():
            self.stepped.emit(1 if key == Qt.Key.Key_Up else -1)
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        if event.reason() != Qt.FocusReason.PopupFocusReason:
            self.selectAll()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.deselect()
        if event.reason() == Qt.FocusReason.PopupFocusReason:
            return
        if self.pending():
            self._submit()

    def _submit(self) -> None:
        if self.text() == self._shown:
            self._mark(False)
            self.restored.emit()
        else:
            self.submitted.emit(self.text())

    def _restore(self) -> None:
        self.show_value(self._shown)
        self.selectAll()
        self.restored.emit()

    def _mark(self, refused: bool) -> None:
        if self._refused != refused:
            self._refused = refused
            self.setProperty("refused", refused)
            self.style().unpolish(self)
            self.style().polish(self)
