"""Buttons of dialogs, and buttons that carry an icon drawn in the theme's colours."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QPushButton, QSizePolicy, QWidget

from trickster_gui.controls import fonts
from trickster_gui.controls.icons import draw_icon
from trickster_gui.theme import ThemeSource

_ICON_PX = 16


def dialog_button(words: str, tip: str, parent: QWidget) -> QPushButton:
    """A button of a dialog, which Return does not press; ``tip`` says what it does."""
    button = QPushButton(words, parent)
    button.setFont(fonts.base())
    button.setAccessibleName(words)
    button.setAccessibleDescription(tip)
    button.setToolTip(tip)
    button.setAutoDefault(False)
    return button


class IconButton(QAbstractButton):
    """A flat button: an icon, words beside it if there are any, and a chevron if it opens a list.

    ``name`` is what a screen reader says and what the tooltip shows.
    """

    def __init__(
        self,
        themes: ThemeSource,
        icon: str,
        name: str,
        *,
        words: str = "",
        opens: bool = False,
        framed: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._themes, self._icon, self._opens, self._framed = themes, icon, opens, framed
        self.setFont(fonts.base())
        self.setText(words)
        self.setAccessibleName(name)
        self.setToolTip(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def set_icon(self, icon: str) -> None:
        """Show another icon."""
        self._icon = icon
        self.update()

    def sizeHint(self) -> QSize:
        width = 14 + (_ICON_PX if self._icon else 0) + (16 if self._opens else 0)
        if self.text():
            width += QFontMetrics(self.font()).horizontalAdvance(self.text()) + 10
        return QSize(width, 30)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = self._themes.current
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_frame(painter)
        colour = theme.text if self.isEnabled() else theme.border
        middle = self.height() / 2
        x = 7.0 if self.text() or self._opens else (self.width() - _ICON_PX) / 2
        if self._icon:
            tone = colour if not self.text() or not self.isEnabled() else theme.muted
            draw_icon(painter, self._icon, QRectF(x, middle - 8, _ICON_PX, _ICON_PX), tone)
            x += _ICON_PX + 6
        right = self.width() - 8.0
        if self._opens:
            right -= 12
            draw_icon(painter, "chevron-down", QRectF(right, middle - 6, 12, 12), theme.muted)
            right -= 2
        if self.text():
            painter.setPen(QColor(colour))
            painter.setFont(self.font())
            room = QRectF(x, 0, right - x, self.height())
            words = painter.fontMetrics().elidedText(
                self.text(), Qt.TextElideMode.ElideRight, int(room.width()) + 1
            )
            painter.drawText(
                room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, words
            )

    def _paint_frame(self, painter: QPainter) -> None:
        theme = self._themes.current
        hot = self.isEnabled() and (self.underMouse() or self.isDown())
        fill = theme.border if self.isDown() else theme.raised
        box = QRectF(self.rect()).adjusted(0.75, 0.75, -0.75, -0.75)
        painter.setPen(Qt.PenStyle.NoPen)
        if self.hasFocus():
            painter.setPen(QPen(QColor(theme.accent), 1.5))
        elif self._framed:
            painter.setPen(QPen(QColor(theme.border), 1))
        if hot or self.isDown() or self._framed or self.hasFocus():
            painter.setBrush(QColor(fill if hot or not self._framed else theme.surface))
            painter.drawRoundedRect(box, 6, 6)


class Disclosure(QAbstractButton):
    """A heading that opens and closes what stands below it. Checked: open."""

    def __init__(
        self,
        themes: ThemeSource,
        words: str,
        *,
        heading: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._themes, self._heading = themes, heading
        self._note = ""
        self.setText(words)
        self.setCheckable(True)
        self.setFont(fonts.base(600) if heading else fonts.small())
        self.setAccessibleName(words)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def set_note(self, note: str) -> None:
        """A few words at the right, such as what is inside while it is closed."""
        if note != self._note:
            self._note = note
            self.update()

    def note(self) -> str:
        """The words at the right."""
        return self._note

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self.font())
        return QSize(metrics.horizontalAdvance(self.text()) + 26, 28 if self._heading else 22)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = self._themes.current
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.hasFocus():
            painter.setPen(QPen(QColor(theme.accent), 1.5))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
        hot = self.underMouse() or self.hasFocus()
        tone = theme.text if hot or self._heading else theme.muted
        icon = "chevron-down" if self.isChecked() else "chevron-right"
        middle = self.height() / 2
        draw_icon(painter, icon, QRectF(2, middle - 6, 12, 12), theme.muted)
        painter.setPen(QColor(tone))
        painter.setFont(self.font())
        room = QRectF(18, 0, self.width() - 20, self.height())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, self.text())
        if self._note:
            used = painter.fontMetrics().horizontalAdvance(self.text()) + 12
            painter.setFont(fonts.small())
            painter.setPen(QColor(theme.faint))
            rest = room.adjusted(used, 0, -2, 0)
            note = painter.fontMetrics().elidedText(
                self._note, Qt.TextElideMode.ElideRight, int(rest.width())
            )
            right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
            painter.drawText(rest, right, note)
