"""Messages to the person: one bar that is always there, so that nothing moves when one comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from PySide6.QtCore import QObject, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from trickster_gui.controls import fonts
from trickster_gui.controls.buttons import IconButton
from trickster_gui.controls.icons import draw_icon
from trickster_gui.controls.text import Text
from trickster_gui.theme import ThemeSource

Severity = Literal["info", "success", "warning", "error"]
BAR_PX = 32
_KEPT = 50
_SHOWN_MS = {"info": 8_000, "success": 8_000}  # warnings and errors stay
_ROLES = {"info": "muted", "success": "success", "warning": "warning", "error": "danger"}


@dataclass(frozen=True)
class Message:
    """One message: what happened and, where there is something to do, the button that does it.

    ``details`` is longer text, such as a traceback, that can be copied; ``topic`` is what it is
    about, for messages that can go out of date together.
    """

    severity: Severity
    text: str
    action_text: str = ""
    action: Callable[[], object] | None = None
    details: str = ""
    topic: str = ""
    at: datetime = field(default_factory=datetime.now)


class Messages(QObject):
    """Where every part of the window says something to the person."""

    posted = Signal(object)
    withdrawn = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.recent: deque[Message] = deque(maxlen=_KEPT)

    def post(
        self,
        severity: Severity,
        text: str,
        action_text: str = "",
        action: Callable[[], object] | None = None,
        details: str = "",
        topic: str = "",
    ) -> Message:
        """Show a message; it is kept among the recent ones."""
        message = Message(severity, text, action_text, action, details, topic)
        self.recent.append(message)
        self.posted.emit(message)
        return message

    def withdraw(self, topic: str) -> None:
        """What was said about ``topic`` is past: it leaves the bar, and stays listed as something
        that happened, without its button."""
        for at, message in enumerate(self.recent):
            if message.topic == topic:
                self.recent[at] = replace(message, action_text="", action=None)
        self.withdrawn.emit(topic)


class SeverityIcon(QWidget):
    """The sign of a severity: a shape as well as a colour."""

    def __init__(self, themes: ThemeSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._themes = themes
        self._severity: Severity | None = None
        self.setFixedSize(QSize(16, 16))

    def set_severity(self, severity: Severity | None) -> None:
        """Show a severity, or nothing."""
        self._severity = severity
        self.setVisible(severity is not None)
        self.setAccessibleName(severity or "")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._severity is not None:
            colour = getattr(self._themes.current, _ROLES[self._severity])
            draw_icon(QPainter(self), self._severity, QRectF(0, 0, 16, 16), colour)


class MessageBar(QFrame):
    """The bar at the bottom. It has its height whether it says something or not."""

    def __init__(
        self, messages: Messages, themes: ThemeSource, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("messageBar")
        self.setFixedHeight(BAR_PX)
        self._messages, self._themes = messages, themes
        self._message: Message | None = None
        self._idle = ""
        self.icon = SeverityIcon(themes, self)
        self.text = Text(themes, fonts.base(), "muted", parent=self)
        self.action = QPushButton(self)
        self.action.setFont(fonts.small(600))
        self.action.setFixedHeight(BAR_PX - 8)
        self.action.clicked.connect(self._act)
        self.recent = IconButton(
            themes, "", "Recent messages", words="Messages", opens=True, parent=self
        )
        self.recent.setFont(fonts.small())
        self.recent.setFixedHeight(BAR_PX - 6)
        self.recent.clicked.connect(self.open_recent)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 2, 8, 2)
        row.setSpacing(8)
        row.addWidget(self.icon)
        row.addWidget(self.text, 1)
        row.addWidget(self.action)
        row.addWidget(self.recent)
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self.clear)
        messages.posted.connect(self.show_message)
        messages.withdrawn.connect(self._withdraw)
        self.clear()
        if messages.recent:  # said before there was a bar
            self.show_message(messages.recent[-1])

    def set_idle(self, text: str) -> None:
        """What the bar says while there is nothing to say."""
        self._idle = text
        if self._message is None:
            self.text.setText(text)

    def show_message(self, message: Message) -> None:
        """Show a message; those that need no action go away by themselves."""
        self._message = message
        self.icon.set_severity(message.severity)
        self.text.set_role("text")
        self.text.setText(message.text)
        self.text.setToolTip(message.text)
        self.text.setAccessibleName(message.text)
        words = message.action_text or ("Copy details" if message.details else "")
        self.action.setText(words)
        self.action.setAccessibleName(words)
        self.action.setVisible(bool(words))
        lasting = _SHOWN_MS.get(message.severity)
        if lasting is None or words:
            self._timer.stop()
        else:
            self._timer.start(lasting)

    def message(self) -> Message | None:
        """What it shows now."""
        return self._message

    def clear(self) -> None:
        """Say nothing."""
        self._message = None
        self.icon.set_severity(None)
        self.text.set_role("faint")
        self.text.setText(self._idle)
        self.text.setToolTip("")
        self.action.hide()

    def open_recent(self) -> RecentMessages:
        """The list of recent messages, above the bar."""
        popup = RecentMessages(self._messages, self._themes, self)
        popup.adjustSize()
        corner = self.mapToGlobal(self.rect().topRight())
        popup.move(corner.x() - popup.width() - 4, corner.y() - popup.height() - 4)
        popup.show()
        return popup

    def _withdraw(self, topic: str) -> None:
        if self._message is not None and self._message.topic == topic:
            self.clear()

    def _act(self) -> None:
        if self._message is not None:
            act_on(self._message)


def act_on(message: Message) -> None:
    """Do what a message offers: its action, or else copy its details."""
    if message.action is not None:
        message.action()
    elif message.details:
        QGuiApplication.clipboard().setText(f"{message.text}\n\n{message.details}")


class RecentMessages(QFrame):
    """The last messages, newest first, each with what it offers."""

    def __init__(self, messages: Messages, themes: ThemeSource, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName("popup")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(1, 1, 1, 1)
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        inside = QWidget(area)
        column = QVBoxLayout(inside)
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(8)
        for message in reversed(messages.recent):
            column.addWidget(self._line(message, themes, inside))
        if not messages.recent:
            empty = QLabel("Nothing to report yet. Warnings and errors stay listed here.", inside)
            empty.setFont(fonts.base())
            column.addWidget(empty)
        column.addStretch(1)
        area.setWidget(inside)
        outer.addWidget(area)
        self.setFixedSize(520, min(360, inside.sizeHint().height() + 12))

    def _line(self, message: Message, themes: ThemeSource, parent: QWidget) -> QWidget:
        line = QWidget(parent)
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        icon = SeverityIcon(themes, line)
        icon.set_severity(message.severity)
        row.addWidget(icon, 0, Qt.AlignmentFlag.AlignTop)
        when = QLabel(f"{message.at:%H:%M}", line)
        when.setFont(fonts.small())
        row.addWidget(when, 0, Qt.AlignmentFlag.AlignTop)
        text = QLabel(line)
        text.setTextFormat(Qt.TextFormat.PlainText)  # what tools say is no markup
        text.setText(message.text)
        text.setFont(fonts.base())
        text.setWordWrap(True)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        row.addWidget(text, 1)
        words = message.action_text or ("Copy details" if message.details else "")
        if words:
            button = QPushButton(words, line)
            button.setFont(fonts.small(600))
            button.clicked.connect(lambda: act_on(message))
            row.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        return line
