"""A list that one searches by typing: presets, devices, commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QFrame,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from trickster_gui.controls import fonts
from trickster_gui.controls.fuzzy import score
from trickster_gui.theme import ThemeSource

Index = QModelIndex | QPersistentModelIndex
_ENTRY_ROLE = Qt.ItemDataRole.UserRole + 1
_MAX_HEIGHT = 460


@dataclass(frozen=True)
class Entry:
    """One line of a list. ``key`` is what choosing it yields; a heading has none."""

    key: str
    title: str
    detail: str = ""
    right: str = ""
    section: str = ""
    enabled: bool = True
    current: bool = False

    @property
    def heading(self) -> bool:
        """Whether it heads a section and cannot be chosen."""
        return not self.key


class _Model(QAbstractListModel):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.entries: list[Entry] = []

    def set_entries(self, entries: list[Entry]) -> None:
        self.beginResetModel()
        self.entries = entries
        self.endResetModel()

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.entries)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not 0 <= index.row() < len(self.entries):
            return None
        entry = self.entries[index.row()]
        if role == _ENTRY_ROLE:
            return entry
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return entry.title
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleDescriptionRole):
            return " · ".join(part for part in (entry.detail, entry.right) if part)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        entry = self.entries[index.row()]
        if entry.heading or not entry.enabled:
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable


class _Delegate(QStyledItemDelegate):
    """Title and, at the right, a figure; a second line of explanation; headings of sections."""

    def __init__(self, themes: ThemeSource, parent: QWidget) -> None:
        super().__init__(parent)
        self._themes = themes
        self._line = QFontMetrics(fonts.base()).height()
        self._small = QFontMetrics(fonts.small()).height()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        entry = index.data(_ENTRY_ROLE)
        if entry.heading:
            return QSize(200, self._small + 14)
        return QSize(200, self._line + 10 + (self._small + 2 if entry.detail else 0))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        entry: Entry = index.data(_ENTRY_ROLE)
        theme = self._themes.current
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRect(option.rect).adjusted(12, 0, -12, 0)
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if entry.heading:
            painter.setFont(fonts.small(600))
            painter.setPen(QColor(theme.faint))
            painter.drawText(box.adjusted(0, 6, 0, 0), left, entry.title.upper())
            painter.restore()
            return
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if chosen:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.accent))
            painter.drawRoundedRect(box.adjusted(-7, 1, 7, -1), 5, 5)
        strong = theme.accent_text if chosen else (theme.text if entry.enabled else theme.faint)
        weak = theme.accent_text if chosen else theme.muted
        first = QRect(box.left(), box.top() + 4, box.width(), self._line + 2)
        painter.setFont(fonts.base(600 if entry.current else 500))
        metrics = painter.fontMetrics()
        used = QFontMetrics(fonts.small()).horizontalAdvance(entry.right) + 14
        if not entry.right:
            used = 0
        painter.setPen(QColor(strong))
        title = f"✓ {entry.title}" if entry.current else entry.title
        room = first.width() - used
        painter.drawText(first, left, metrics.elidedText(title, Qt.TextElideMode.ElideRight, room))
        painter.setPen(QColor(weak))
        painter.setFont(fonts.small())
        painter.drawText(first, right, entry.right)
        if entry.detail:
            second = QRect(box.left(), first.bottom() + 1, box.width(), self._small)
            words = painter.fontMetrics().elidedText(
                entry.detail, Qt.TextElideMode.ElideRight, second.width()
            )
            painter.drawText(second, left, words)
        painter.restore()


class SearchList(QFrame):
    """A field to type into and the entries that match, best first, all by keyboard.

    ``chosen`` carries the key of the entry taken. ``provide`` gives the entries for what is
    typed; entries that only exist for some texts ("set layers 12") come from there as well.
    """

    chosen = Signal(str)
    dismissed = Signal()

    def __init__(
        self,
        themes: ThemeSource,
        placeholder: str,
        provide: Callable[[str], Sequence[Entry]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName("popup")
        self._provide = provide
        self.field = QLineEdit(self)
        self.field.setFont(fonts.base())
        self.field.setPlaceholderText(placeholder)
        self.field.setAccessibleName(placeholder)
        self.view = QListView(self)
        self.view.setModel(_Model(self))
        self.view.setItemDelegate(_Delegate(themes, self.view))
        self.view.setMouseTracking(True)
        self.view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setAccessibleName("Matches")
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.clicked.connect(self._take)
        self.view.entered.connect(self._hovered)
        self.field.textChanged.connect(self._fill)
        self.field.installEventFilter(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 6)
        column.setSpacing(4)
        column.addWidget(self.field)
        column.addWidget(self.view)
        self.setFocusProxy(self.field)

    def open_at(self, corner: QPoint, width: int) -> None:
        """Open with its top left corner there (global), with nothing typed."""
        self.field.clear()
        self._fill("")
        self.setFixedWidth(width)
        content = sum(self.view.sizeHintForRow(row) for row in range(self.view.model().rowCount()))
        room = self.screen().availableGeometry().bottom() - corner.y() - 12
        height = min(content, _MAX_HEIGHT, max(160, room - self.field.sizeHint().height() - 12))
        self.view.setFixedHeight(height + 4)
        self.adjustSize()
        self.move(corner)
        self.show()
        self.field.setFocus(Qt.FocusReason.PopupFocusReason)

    def entries(self) -> list[Entry]:
        """What is listed now, headings included."""
        return list(self._model().entries)

    def selected(self) -> Entry | None:
        """The entry that Enter would take."""
        index = self.view.currentIndex()
        return index.data(_ENTRY_ROLE) if index.isValid() else None

    def eventFilter(self, watched: object, event: object) -> bool:
        if (
            watched is self.field
            and isinstance(event, QKeyEvent)
            and event.type() == event.Type.KeyPress
        ):
            return self._key(event)
        return bool(super().eventFilter(watched, event))  # type: ignore[arg-type]

    def _key(self, event: QKeyEvent) -> bool:
        steps = {
            Qt.Key.Key_Down: 1,
            Qt.Key.Key_Up: -1,
            Qt.Key.Key_PageDown: 8,
            Qt.Key.Key_PageUp: -8,
        }
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._take(self.view.currentIndex())
        elif event.key() in steps:
            self._move(steps[Qt.Key(event.key())])
        elif event.key() == Qt.Key.Key_Escape:
            self.close()
            self.dismissed.emit()
        else:
            return False
        return True

    def _model(self) -> _Model:
        model = self.view.model()
        assert isinstance(model, _Model)
        return model

    def _fill(self, typed: str) -> None:
        self._model().set_entries(arrange(self._provide(typed), typed))
        self._move(0)

    def _move(self, step: int) -> None:
        able = [
            at for at, entry in enumerate(self._model().entries)
            if not entry.heading and entry.enabled
        ]  # fmt: skip
        if not able:
            return
        now = self.view.currentIndex().row()
        if now in able:
            at = able[max(0, min(len(able) - 1, able.index(now) + step))]
        else:
            at = next((row for row in able if self._model().entries[row].current), able[0])
        self.view.setCurrentIndex(self._model().index(at))
        if at == able[0]:
            self.view.scrollToTop()

    def _hovered(self, index: Index) -> None:
        entry = index.data(_ENTRY_ROLE)
        if entry is not None and not entry.heading and entry.enabled:
            self.view.setCurrentIndex(index)

    def _take(self, index: Index) -> None:
        entry = index.data(_ENTRY_ROLE) if index.isValid() else None
        if entry is None or entry.heading or not entry.enabled:
            return
        self.close()
        self.chosen.emit(entry.key)


def arrange(entries: Sequence[Entry], typed: str) -> list[Entry]:
    """Without a text: all, under headings of their sections. With one: matches, best first."""
    if typed.strip():
        ranked = [
            (score(typed, entry.title) or _weak(score(typed, entry.section, entry.detail)), entry)
            for entry in entries
        ]
        found = [pair for pair in ranked if pair[0] > 0]
        found.sort(key=lambda pair: -pair[0])
        return [entry for _, entry in found]
    listed: list[Entry] = []
    section = ""
    for entry in entries:
        if entry.section != section:
            section = entry.section
            listed.append(Entry("", section))
        listed.append(entry)
    return listed


def _weak(value: float) -> float:
    return value / 10
