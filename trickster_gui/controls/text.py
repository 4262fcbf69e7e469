"""One line of text that changes often without disturbing the layout around it."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from trickster_gui.theme import ThemeSource


class Text(QWidget):
    """Paints one line. A new text repaints it and never asks the layout for another size.

    Text that does not fit ends in an ellipsis, and the tooltip then holds the whole.
    ``reserve`` is the widest text that it will have to show; without it the text stretches.
    ``role`` names the colour, a field of Theme.
    """

    def __init__(
        self,
        themes: ThemeSource,
        font: QFont,
        role: str = "text",
        *,
        align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
        reserve: str | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._themes, self._role, self._align = themes, role, align
        self._text = ""
        self.setFont(font)
        metrics = QFontMetrics(font)
        width = metrics.horizontalAdvance(reserve) + 2 if reserve is not None else 0
        self._size = QSize(width, metrics.height() + 2)
        horizontal = QSizePolicy.Policy.Fixed if reserve is not None else QSizePolicy.Policy.Ignored
        self.setSizePolicy(horizontal, QSizePolicy.Policy.Fixed)

    def text(self) -> str:
        """What it says, in full."""
        return self._text

    def setText(self, text: str) -> None:
        """Say something else."""
        if text == self._text:
            return
        self._text = text
        self.update()

    def set_role(self, role: str) -> None:
        """Paint in another colour of the theme."""
        if role != self._role:
            self._role = role
            self.update()

    def is_elided(self) -> bool:
        """Whether the text is wider than the place it has."""
        return QFontMetrics(self.font()).horizontalAdvance(self._text) > self.width()

    def sizeHint(self) -> QSize:
        return self._size

    def minimumSizeHint(self) -> QSize:
        return self._size

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._text:
            return
        painter = QPainter(self)
        painter.setFont(self.font())
        painter.setPen(QColor(getattr(self._themes.current, self._role)))
        shown = self._text
        if self.is_elided():
            metrics = painter.fontMetrics()
            shown = metrics.elidedText(shown, Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(self.rect(), self._align | Qt.AlignmentFlag.AlignVCenter, shown)


class TextPair(QWidget):
    """Two texts on one line, left and right.

    The right one may come in several wordings: the first that fits beside the left one is shown.
    Where not even the last does, it has precedence. A longer one comes back only where it fits
    with room to spare, so that figures which change do not make the words come and go.
    """

    GAP_PX = 10
    SPARE_PX = 16  # a digit and a sign more

    def __init__(
        self, themes: ThemeSource, font: QFont, roles: tuple[str, str],
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._themes, self._roles = themes, roles
        self._left = ""
        self._right: tuple[str, ...] = ()
        self._shown = 0
        self.setFont(font)
        self._size = QSize(0, QFontMetrics(font).height() + 2)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def texts(self) -> tuple[str, str]:
        """What it says, left and right."""
        return self._left, self._fitting()

    def set_left(self, text: str) -> None:
        """Say something else on the left."""
        if text != self._left:
            self._left = text
            self._choose()
            self.update()

    def set_right(self, text: str) -> None:
        """Say something else on the right."""
        self.set_right_wordings((text,) if text else ())

    def set_right_wordings(self, wordings: tuple[str, ...]) -> None:
        """Say one of these on the right: the first that fits, from the longest to the shortest."""
        if wordings != self._right:
            self._right = wordings
            self._choose()
            self.update()

    def _fitting(self) -> str:
        return self._right[self._shown] if self._right else ""

    def _choose(self) -> None:
        """Find the wording to show, in the room that there is now."""
        metrics = QFontMetrics(self.font())
        room = self.width()
        if self._left:
            room -= metrics.horizontalAdvance(self._left) + self.GAP_PX
        before, last = self._shown, len(self._right) - 1
        self._shown = max(0, last)
        for at, wording in enumerate(self._right):
            spare = self.SPARE_PX if at < before else 0
            if metrics.horizontalAdvance(wording) + spare <= room:
                self._shown = at
                break

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._choose()

    def is_elided(self) -> bool:
        """Whether both together are wider than the place they have."""
        metrics = QFontMetrics(self.font())
        widths = [metrics.horizontalAdvance(text) for text in self.texts() if text]
        return sum(widths) + self.GAP_PX * (len(widths) - 1) > self.width()

    def sizeHint(self) -> QSize:
        return self._size

    def minimumSizeHint(self) -> QSize:
        return self._size

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(self.font())
        metrics, theme = painter.fontMetrics(), self._themes.current
        middle = Qt.AlignmentFlag.AlignVCenter
        right = metrics.elidedText(self._fitting(), Qt.TextElideMode.ElideRight, self.width())
        painter.setPen(QColor(getattr(theme, self._roles[1])))
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignRight | middle, right)
        used = metrics.horizontalAdvance(right) + self.GAP_PX if right else 0
        left = metrics.elidedText(self._left, Qt.TextElideMode.ElideRight, self.width() - used)
        painter.setPen(QColor(getattr(theme, self._roles[0])))
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignLeft | middle, left)
