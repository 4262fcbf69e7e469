"""The slim bar at the top: what is designed, on what it would run, and the way to everything."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QSizePolicy, QWidget

from trickster_gui.controls import fonts
from trickster_gui.controls.buttons import IconButton
from trickster_gui.document import MAX_TITLE, Design, Document
from trickster_gui.theme import ThemeSource

BAR_PX = 46
_THEME_ICONS = {"system": "contrast", "light": "sun", "dark": "moon"}
_TITLE_PX = (120, 340)


class Mark(QWidget):
    """The program's mark: a stack of blocks in the colours of a model's parts, and its name."""

    def __init__(self, themes: ThemeSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._themes = themes
        self.setAccessibleName("Trickster")
        width = QFontMetrics(fonts.title()).horizontalAdvance("Trickster")
        self.setFixedSize(QSize(30 + width, BAR_PX - 10))

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = self._themes.current
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        draw_mark(painter, QRectF(0, self.height() / 2 - 10, 20, 20), theme.components)
        painter.setPen(QColor(theme.text))
        painter.setFont(fonts.title())
        room = self.rect().adjusted(28, 0, 2, 0)
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, "Trickster")


def draw_mark(painter: QPainter, box: QRectF, components: object) -> None:
    """Three stacked bars that lean to the right, as tokens on their way up through a model."""
    colours = dict(components)  # type: ignore[call-overload]
    painter.setPen(Qt.PenStyle.NoPen)
    unit = box.width() / 20
    bars = (("mlp", 0.0, 13.6, 12.0), ("attention", 4.0, 7.2, 12.0), ("embedding", 8.0, 0.8, 12.0))
    for name, x, y, width in bars:
        painter.setBrush(QColor(colours[name]))
        corner = box.topLeft() + QPointF(x * unit, y * unit)
        painter.drawRoundedRect(
            QRectF(corner.x(), corner.y(), width * unit, 5.2 * unit), 2 * unit, 2 * unit
        )


class TopBar(QFrame):
    """Preset, title, device, undo and redo, theme, menu. The window answers its signals."""

    presets_wanted = Signal()
    devices_wanted = Signal()
    palette_wanted = Signal()
    menu_wanted = Signal()
    theme_wanted = Signal()

    def __init__(
        self, document: Document, themes: ThemeSource, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("topBar")
        self.setFixedHeight(BAR_PX)
        self._document, self._themes = document, themes
        self.mark = Mark(themes, self)
        self.presets = IconButton(
            themes, "grid", "Start from a preset (Ctrl+P)", words="Presets", opens=True,
            framed=True, parent=self,
        )  # fmt: skip
        self.title = QLineEdit(self)
        self.title.setProperty("plain", True)
        self.title.setFont(fonts.base(600))
        self.title.setMaxLength(MAX_TITLE)
        self.title.setAccessibleName("Name of this design")
        self.title.setToolTip("Name of this design")
        self.title.editingFinished.connect(self._renamed)
        self.search = IconButton(
            themes, "search", "All commands (Ctrl+K)", words="Ctrl+K", parent=self
        )
        self.device = IconButton(
            themes, "chip", "Device to train on", words="CPU", opens=True, framed=True, parent=self
        )
        self.undo = IconButton(themes, "undo", "Undo (Ctrl+Z)", parent=self)
        self.redo = IconButton(themes, "redo", "Redo (Ctrl+Shift+Z)", parent=self)
        self.theme = IconButton(themes, "contrast", "Theme: as the system", parent=self)
        self.menu = IconButton(themes, "menu", "Menu", parent=self)
        self.presets.clicked.connect(self.presets_wanted)
        self.device.clicked.connect(self.devices_wanted)
        self.search.clicked.connect(self.palette_wanted)
        self.theme.clicked.connect(self.theme_wanted)
        self.menu.clicked.connect(self.menu_wanted)
        self._connect_undo()
        self._arrange()
        document.changed.connect(self._show)
        self._show(document.design)
        self.show_theme()

    def set_device(self, words: str, here: bool, problem: str = "") -> None:
        """Show the chosen device; one that is not here, or cannot train, is marked so."""
        mark = " (not ready)" if problem else ""
        self.device.setText(words + mark if here else f"{words} (not here)")
        self.device.setToolTip(
            (problem or "Device to train on") if here
            else f"{words} is not in this computer: costs only"
        )  # fmt: skip
        self.device.updateGeometry()

    def show_theme(self) -> None:
        """Show which theme is chosen."""
        choice = self._themes.choice
        words = {"system": "as the system", "light": "light", "dark": "dark"}[choice]
        self.theme.set_icon(_THEME_ICONS[choice])
        self.theme.setToolTip(f"Theme: {words}")
        self.theme.setAccessibleName(f"Theme: {words}")

    def _arrange(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 0, 10, 0)
        row.setSpacing(6)
        row.addWidget(self.mark)
        row.addSpacing(14)
        row.addWidget(self.presets)
        row.addWidget(self.title)
        row.addStretch(1)
        row.addWidget(self.search)
        row.addWidget(self.device)
        row.addSpacing(6)
        for button in (self.undo, self.redo, self.theme, self.menu):
            row.addWidget(button)
        self.title.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def _connect_undo(self) -> None:
        stack = self._document.undo_stack
        self.undo.clicked.connect(stack.undo)
        self.redo.clicked.connect(stack.redo)
        for button, signal, able in (
            (self.undo, stack.canUndoChanged, stack.canUndo()),
            (self.redo, stack.canRedoChanged, stack.canRedo()),
        ):
            signal.connect(button.setEnabled)
            button.setEnabled(able)
        stack.undoTextChanged.connect(self._show_undo)
        stack.redoTextChanged.connect(self._show_redo)

    def _show_undo(self, text: str) -> None:
        self.undo.setToolTip(f"Undo {text} (Ctrl+Z)" if text else "Undo (Ctrl+Z)")

    def _show_redo(self, text: str) -> None:
        self.redo.setToolTip(f"Redo {text} (Ctrl+Shift+Z)" if text else "Redo (Ctrl+Shift+Z)")

    def _show(self, design: Design) -> None:
        if design.title != self.title.text():
            self.title.setText(design.title)
            self.title.setCursorPosition(0)
            width = QFontMetrics(self.title.font()).horizontalAdvance(design.title) + 24
            self.title.setFixedWidth(max(_TITLE_PX[0], min(_TITLE_PX[1], width)))

    def _renamed(self) -> None:
        self._document.rename(self.title.text())
        self._show(self._document.design)
