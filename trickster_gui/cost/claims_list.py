"""What a preset's source prints beside what is exact: a popover of one row a figure."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QRect, QRectF, Qt
from PySide6.QtGui import QFont, QFontMetrics, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from engine.cost.claims import Checked, checked_claims
from engine.presets import Preset
from trickster_gui.cost import ink
from trickster_gui.cost.ink import Look
from trickster_gui.cost.rows import Row, RowGroup

_PADDING = 14
_GAP = 16
_MOST_HEIGHT = 600
_LEAST_HEIGHT, _LEAST_WIDTH = 160, 480
_FRAME = 4  # what styles leave between a scroll bar and its area


class ClaimRow(Row):
    """One figure: what it is, as printed, exactly, and below why the two differ."""

    def __init__(self, look: Look, parent: QWidget, claim: Checked, source: str) -> None:
        super().__init__(look, parent)
        self.claim = claim
        value = claim.exact.value
        self.copy_text = claim.exact.text if isinstance(value, tuple) else str(value)
        self.columns = (0, 0)
        self.setAccessibleName(
            f"{claim.figure}: {source} prints {claim.printed}, exact {claim.exact.text}"
        )
        self.setAccessibleDescription(claim.why)
        self.clicked.connect(self.copy)

    def height_for(self, width: int) -> int:
        """Height that the words need at this width, in pixels."""
        return self.look.line + 4 + self._why_height(width - 2 * _PADDING) + 9

    def _why_height(self, width: int) -> int:
        flags = ink.Align.AlignTop.value | Qt.TextFlag.TextWordWrap.value
        room = QRect(0, 0, width, 10_000)
        return (
            QFontMetrics(self.look.small)
            .boundingRect(room, flags, ink.unbroken(self.claim.why))
            .height()
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look = self.begin(), self.look
        area = self.rect().adjusted(_PADDING, 4, -_PADDING, 0)
        top = QRect(area.left(), area.top(), area.width(), look.line)
        printed, exact = _places(top, self.columns)
        painter.setFont(look.base)
        painter.setPen(look.colour("text"))
        ink.put(painter, top, self.claim.figure)
        painter.setPen(look.colour("muted"))
        ink.put(painter, printed, self.claim.printed, ink.RIGHT)
        painter.setFont(look.bold)
        painter.setPen(look.colour("text"))
        ink.put(painter, exact, self.claim.exact.text, ink.RIGHT)
        painter.setFont(look.small)
        painter.setPen(look.colour("muted"))
        below = area.adjusted(0, look.line + 1, 0, 0)
        ink.put(painter, below, self.claim.why, ink.Align.AlignTop, wrap=True)


class _Table(QWidget):
    """The rows below each other; arrow keys move among them."""

    def __init__(self, scroll: QScrollArea) -> None:
        super().__init__(scroll)
        self._scroll = scroll
        self.group = RowGroup()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        target = self.group.key(event)
        if target is None:
            super().keyPressEvent(event)
        else:
            self._scroll.ensureWidgetVisible(target, 0, 0)


class _Heading(QWidget):
    """What the columns are, above the rows and always in sight."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self.look = look
        self.columns = (0, 0)
        self.table_width = 0
        self.source = ""

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look = QPainter(self), self.look
        line = QRect(_PADDING, 0, self.table_width - 2 * _PADDING, self.height() - 4)
        printed, exact = _places(line, self.columns)
        painter.setFont(look.bold)
        painter.setPen(look.colour("text"))
        ink.put(painter, line, "Printed and exact")
        painter.setFont(look.small)
        painter.setPen(look.colour("muted"))
        ink.put(painter, printed, f"{self.source} prints", ink.RIGHT)
        ink.put(painter, exact, "exact", ink.RIGHT)
        painter.fillRect(QRectF(0, self.height() - 1, self.width(), 1), look.colour("border"))


class ClaimsList(QFrame):
    """All that the source of a preset prints, checked. Esc or a click elsewhere closes it."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName("popup")
        self._look = look
        self.rows: list[ClaimRow] = []
        self.area = QScrollArea(self)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.viewport().setAutoFillBackground(False)
        self._heading = _Heading(look, self)
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 8, 1, 6)
        column.setSpacing(2)
        column.addWidget(self._heading)
        column.addWidget(self.area)

    def set_look(self, look: Look) -> None:
        """Take new colours or fonts; an open list closes, its places were for the old ones."""
        self._look = self._heading.look = look
        self.close()

    def open_for(self, preset: Preset, corner: QPoint, right: int) -> None:
        """Open below a corner with the claims of a preset, ending left of ``right`` (global)."""
        table = self._fill(checked_claims(preset), preset.printed_by)
        height = self._look.line + 10
        self._heading.setFixedHeight(height)
        room = self.screen().availableGeometry().bottom() - corner.y() - height - 24
        shown = min(table.height(), _MOST_HEIGHT, max(_LEAST_HEIGHT, room))
        bar = self.area.verticalScrollBar().sizeHint().width()
        self.area.setFixedSize(table.width() + bar + _FRAME, shown)
        self.adjustSize()
        self.move(min(corner.x(), right - self.width()), corner.y())
        self.show()
        self.rows[0].setFocus(Qt.FocusReason.PopupFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close()
        else:
            super().keyPressEvent(event)

    def _fill(self, claims: Sequence[Checked], source: str) -> QWidget:
        """Make the rows anew; return the table of them, in its full size."""
        look = self._look
        table = _Table(self.area)
        self.rows = [ClaimRow(look, table, claim, source) for claim in claims]
        table.group.set_rows(self.rows)
        columns = (
            _widest(look.base, [claim.printed for claim in claims], f"{source} prints"),
            _widest(look.bold, [claim.exact.text for claim in claims], "exact"),
        )
        figures = _widest(look.base, [claim.figure for claim in claims], "Printed and exact")
        width = max(_LEAST_WIDTH, figures + sum(columns) + 2 * _GAP + 2 * _PADDING)
        y = 0
        for row in self.rows:
            row.columns = columns
            row.setGeometry(0, y, width, row.height_for(width))
            y += row.height()
        table.resize(width, y)
        self._heading.columns, self._heading.table_width = columns, width
        self._heading.source = source
        self.area.setWidget(table)
        table.setAutoFillBackground(False)  # the area has just asked for it
        self.setAccessibleName(f"What {source.lower()} prints, and what is exact")
        return table


def _places(line: QRect, columns: tuple[int, int]) -> tuple[QRect, QRect]:
    """Where a line has what is printed and what is exact, from the width of these columns."""
    printed, exact = columns
    right = QRect(line.right() - exact + 1, line.top(), exact, line.height())
    left = QRect(right.left() - _GAP - printed, line.top(), printed, line.height())
    return left, right


def _widest(font: QFont, texts: Sequence[str], heading: str) -> int:
    return max(ink.width_of(font, text) for text in (*texts, heading)) + 2
