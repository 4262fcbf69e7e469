"""The row that picks the text to learn from: the catalogue, a file, a folder."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget

from engine.data.catalogue import catalogue
from trickster_gui.controls.combo import QuietCombo
from trickster_gui.design.binding import Binding
from trickster_gui.design.rows import Row
from trickster_gui.theme import ThemeSource

_FILE, _FOLDER = "\0file", "\0folder"


class CorpusRow(Row):
    """A list of the texts that come by name; its last entries ask for a file or a folder."""

    def __init__(
        self, binding: Binding, themes: ThemeSource, parent: QWidget | None = None
    ) -> None:
        super().__init__(binding, themes, parent)
        self.combo = QuietCombo(self)
        self.combo.setSizeAdjustPolicy(
            QuietCombo.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self._describe(self.combo)
        self._texts = {entry.name: entry for entry in catalogue()}
        self._filled_with = ""
        self._fill("")
        self.combo.activated.connect(lambda at: self._chosen(str(self.combo.itemData(at))))
        self._column.addWidget(self.label)
        self._column.addSpacing(2)
        self._column.addWidget(self.combo)
        self._column.addWidget(self.strip)

    def refresh(self) -> None:
        value = str(self.binding.value)
        own = "" if value in self._texts else value
        if own != self._filled_with:
            self._fill(own)
        self.combo.setCurrentIndex(self.combo.findData(value))

    def focus_control(self) -> None:
        self.combo.setFocus()

    def _fill(self, own: str) -> None:
        self.combo.clear()
        for entry in self._texts.values():
            fetched = "" if entry.download is None else f"  ({_size(entry.download.size_bytes)})"
            self.combo.addItem(entry.title + fetched, entry.name)
        if own:
            self.combo.addItem(Path(own).name or own, own)
        self.combo.insertSeparator(self.combo.count())
        self.combo.addItem("File…", _FILE)
        self.combo.addItem("Folder…", _FOLDER)
        self._filled_with = own

    def _chosen(self, data: str) -> None:
        path = data
        if data == _FILE:
            path = QFileDialog.getOpenFileName(self.window(), "A text to learn from")[0]
        elif data == _FOLDER:
            path = QFileDialog.getExistingDirectory(self.window(), "A folder of texts")
        if path:
            self.binding.set(path)
            self.edited.emit()
        self.refresh()


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.0f} kB"
