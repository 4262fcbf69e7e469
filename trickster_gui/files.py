"""Opening, saving, copying and pasting designs."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QWidget

from engine import spec_file
from engine.parameter import SpecError
from trickster_gui.document import MAX_TITLE, Design, Document
from trickster_gui.messages import Messages
from trickster_gui.settings import Settings

_OPENED = "Designs (*.yaml *.yml *.json);;All files (*)"
_SAVED = "YAML (*.yaml);;JSON (*.json)"
_MOST_PASTED = 1 << 16


class DesignFiles(QObject):
    """The document's ways in and out. Whatever goes wrong becomes a message."""

    recent_changed = Signal()

    def __init__(
        self, document: Document, messages: Messages, window: QWidget, recent: tuple[str, ...] = ()
    ) -> None:
        super().__init__(window)
        self._document, self._messages, self._window = document, messages, window
        self.recent = recent
        self.path = ""

    def open(self, name: str) -> bool:
        """Replace the design by the one that ``name`` stands for: a file, a preset, a text."""
        try:
            found = spec_file.load_design(name)
        except SpecError as error:
            self._forget(name)
            self._messages.post("error", f"That can't be opened: {error.message}")
            return False
        self._load(found, f"Open {Path(name).name}")
        if Path(name).is_file():
            self._remember(str(Path(name).absolute()))
        return True

    def ask_open(self) -> None:
        """Ask for a file and open it."""
        name, _ = QFileDialog.getOpenFileName(self._window, "Open design", self._folder(), _OPENED)
        if name:
            self.open(name)

    def save(self) -> bool:
        """Save to the file that the design came from, or ask for one."""
        return self.save_to(self.path) if self.path else self.ask_save()

    def ask_save(self) -> bool:
        """Ask for a file and save."""
        proposed = str(Path(self._folder()) / f"{_file_name(self._document.design.title)}.yaml")
        name, kind = QFileDialog.getSaveFileName(self._window, "Save design", proposed, _SAVED)
        if not name:
            return False
        if not Path(name).suffix:
            name += ".json" if "json" in kind else ".yaml"
        return self.save_to(name)

    def save_to(self, name: str) -> bool:
        """Write the design to a file; False where that failed, which a message has told."""
        design = self._document.design
        try:
            spec_file.save_design(Path(name), design.model, design.run, design.title)
        except SpecError as error:
            self._messages.post("error", error.message, "Save as…", self.ask_save)
            return False
        self._remember(name)
        self._messages.post("success", f"Saved {name}")
        return True

    def copy(self) -> str:
        """Put the design on the clipboard as one line of text."""
        design = self._document.design
        line = spec_file.design_to_text(design.model, design.run, design.title)
        QGuiApplication.clipboard().setText(line)
        self._messages.post("success", "Copied the design as text: paste it into chat or mail.")
        return line

    def paste(self) -> bool:
        """Take over a design from the clipboard."""
        text = QGuiApplication.clipboard().text()[:_MOST_PASTED].strip()
        if not spec_file.is_design_text(text):
            self._messages.post(
                "warning",
                "The clipboard holds no design: a design's text begins with “trickster:”.",
            )
            return False
        try:
            found = spec_file.design_from_text(text)
        except SpecError as error:
            self._messages.post("error", f"This text can't be pasted: {error.message}")
            return False
        self._load(found, "Paste a design")
        self.path = ""
        return True

    def forget_path(self) -> None:
        """The design no longer belongs to a file: saving asks for one."""
        self.path = ""

    def _load(self, found: spec_file.Design, text: str) -> None:
        title = found.title[:MAX_TITLE] or "Untitled"
        self._document.load(Design(found.model, found.run, title), text)
        self._messages.post("info", f"{title} is loaded.", "Undo", self._document.undo_stack.undo)

    def _remember(self, path: str) -> None:
        self.path = path
        self.recent = Settings(recent_files=self.recent).with_recent(path)
        self.recent_changed.emit()

    def _forget(self, path: str) -> None:
        if path in self.recent:
            self.recent = tuple(other for other in self.recent if other != path)
            self.recent_changed.emit()

    def _folder(self) -> str:
        return str(Path(self.path).parent) if self.path else str(Path.home())


def _file_name(title: str) -> str:
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in title.lower())
    return kept.strip("-.")[:60] or "design"
