"""The line of buttons and the state of the run in words."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QAction, QColor, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QPushButton, QSizePolicy, QWidget

from trickster_gui.bridge import RunState
from trickster_gui.controls import fonts
from trickster_gui.controls.text import Text
from trickster_gui.theme import ThemeSource

STATE_WORDS: dict[RunState, str] = {
    "none": "No run yet",
    "preparing": "Preparing",
    "running": "Training",
    "paused": "Paused",
    "finished": "Finished",
    "failed": "Failed",
    "interrupted": "Interrupted",
}
_STATE_ROLES: dict[RunState, str] = {
    "none": "faint",
    "preparing": "accent",
    "running": "accent",
    "paused": "warning",
    "finished": "success",
    "failed": "danger",
    "interrupted": "danger",
}
ELSEWHERE = "Go on elsewhere…"
_MOST_CHECKPOINTS = 8
_ENDED: tuple[RunState, ...] = ("finished", "failed", "interrupted")


class StateMark(QWidget):
    """A disc while the run lives, a ring when it has ended, a bar pair when it is paused."""

    def __init__(self, themes: ThemeSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._themes = themes
        self._state: RunState = "none"
        self.setFixedSize(12, 16)
        themes.changed.connect(self.update)

    def show_state(self, state: RunState) -> None:
        """Show this state."""
        if state != self._state:
            self._state = state
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colour = QColor(getattr(self._themes.current, _STATE_ROLES[self._state]))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        if self._state == "paused":
            painter.drawRect(QRectF(2, 4, 3, 8))
            painter.drawRect(QRectF(7, 4, 3, 8))
        elif self._state in ("preparing", "running"):
            painter.drawEllipse(QRectF(2, 4, 8, 8))
        else:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(colour)
            painter.drawEllipse(QRectF(2.5, 4.5, 7, 7))


class Header(QWidget):
    """Buttons of a run. It only says what was pressed; the view decides what that means.

    ``continue_asked`` carries the number of further steps, ``rewind_asked`` the step of a
    checkpoint to go back to, ``elsewhere_asked`` that it shall go on otherwise than until now.
    """

    train_asked = Signal()
    pause_asked = Signal()
    resume_asked = Signal()
    stop_asked = Signal()
    kill_asked = Signal()
    continue_asked = Signal(int)
    rewind_asked = Signal(int)
    elsewhere_asked = Signal()

    def __init__(self, themes: ThemeSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state: RunState = "none"
        self._refusal = ""
        self._stopping = False
        self._more_steps = 1_000
        self._can_continue = False
        self._checkpoints: Callable[[], list[int]] = list
        self.train = self._button("Train", "Start training this design (Ctrl+Return)")
        self.train.setProperty("primary", True)
        self.train.setFont(fonts.base(600))
        self.train.clicked.connect(self.train_asked)
        self.pause = self._button("Pause", "Save, and wait; a paused run keeps its memory")
        self.pause.clicked.connect(self._pause_clicked)
        self.stop = self._button("Stop", "Save, and end the run; it can be continued later")
        self.stop.clicked.connect(self._stop_clicked)
        self.more = self._button("Continue", "Train this very run for longer, or elsewhere")
        self.more_menu = QMenu(self)
        self.more.setMenu(self.more_menu)
        self.more_menu.aboutToShow.connect(self._fill_more)
        self.mark = StateMark(themes, self)
        self.state_text = Text(themes, fonts.base(600), "text", reserve="Interrupted")
        self.detail = Text(themes, fonts.base(), "muted")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        for widget in (self.train, self.pause, self.stop, self.more):
            row.addWidget(widget)
        row.addSpacing(8)
        row.addWidget(self.mark)
        row.addWidget(self.state_text)
        row.addWidget(self.detail, 1)
        self._reserve_places()
        self._update()

    def _reserve_places(self) -> None:
        """Room for every text that a button will have, in the style that it has now."""
        self.train.setFixedWidth(_widest(self.train, "Train", "Train again"))
        self.pause.setFixedWidth(_widest(self.pause, "Pause", "Resume", "Go on"))
        width = max(
            _widest(self.stop, "Stop", "Stopping…", "End it now"), _widest(self.more, "Continue")
        )
        height = max(button.sizeHint().height() for button in (self.train, self.pause))
        for button in (self.train, self.pause, self.stop, self.more):
            button.setFixedHeight(height)
        self.stop.setFixedWidth(width)
        self.more.setFixedWidth(width)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._reserve_places()  # the window's style sheet, with its padding, came after the texts

    def _button(self, text: str, tip: str) -> QPushButton:
        button = QPushButton(text, self)
        button.setFont(fonts.base())
        button.setToolTip(tip)
        button.setAccessibleName(text)
        button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        return button

    def show_state(self, state: RunState, detail: str) -> None:
        """Show how the run stands; ``detail`` is said beside it."""
        if state != self._state:
            self._stopping = False
            self._state = state
        self.mark.show_state(state)
        self.state_text.setText(STATE_WORDS[state])
        self.state_text.setAccessibleName(STATE_WORDS[state])
        self.detail.setText(detail)
        self.detail.setToolTip(detail if self.detail.is_elided() else "")
        self._update()

    def set_refusal(self, reason: str) -> None:
        """Why the design cannot be trained now; empty: it can."""
        if reason != self._refusal:
            self._refusal = reason
            self._update()

    def set_more_steps(self, steps: int, possible: bool) -> None:
        """How many steps the run was planned for: what continuing offers first."""
        if (steps, possible) != (self._more_steps, self._can_continue):
            self._more_steps, self._can_continue = steps, possible
            self._fill_more()
            self._update()

    def allow_kill(self) -> None:
        """The worker has not obeyed for a while: offer to end it."""
        if self._stopping:
            self.stop.setText("End it now")
            self.stop.setToolTip("End the process; what came after its last checkpoint is lost")
            self.stop.setEnabled(True)

    @property
    def stopping(self) -> bool:
        """Whether a stop has been asked for and not been obeyed yet."""
        return self._stopping

    def set_checkpoints(self, checkpoints: Callable[[], list[int]]) -> None:
        """Where to look for the steps that the run can go back to, when the menu opens."""
        self._checkpoints = checkpoints

    def _fill_more(self) -> None:
        self.more_menu.clear()
        for steps in dict.fromkeys((self._more_steps, 500, 1_000, 5_000, 20_000)):
            action = QAction(f"+{steps:,} steps", self.more_menu)
            action.triggered.connect(lambda _=False, steps=steps: self.continue_asked.emit(steps))
            self.more_menu.addAction(action)
        self.more_menu.addSeparator()
        self.elsewhere = QAction(ELSEWHERE, self.more_menu)
        self.elsewhere.triggered.connect(self.elsewhere_asked)
        self.more_menu.addAction(self.elsewhere)
        steps_back = self._checkpoints()[-_MOST_CHECKPOINTS:]
        if steps_back:
            self.more_menu.addSeparator()
        for step in reversed(steps_back):
            action = QAction(f"Go back to step {step:,} and on from there", self.more_menu)
            action.triggered.connect(lambda _=False, step=step: self.rewind_asked.emit(step))
            self.more_menu.addAction(action)

    def _update(self) -> None:
        state = self._state
        live = state in ("preparing", "running", "paused")
        self.train.setText("Train again" if state in _ENDED else "Train")
        self.train.setAccessibleName(self.train.text())
        self.train.setEnabled(not live and not self._refusal)
        self.train.setToolTip(self._refusal or "Start training this design (Ctrl+Return)")
        interrupted = state in ("interrupted", "failed") and self._can_continue
        label = "Resume" if interrupted else "Go on" if state == "paused" else "Pause"
        self.pause.setText(label)
        self.pause.setAccessibleName(label)
        self.pause.setEnabled(
            interrupted or (state in ("running", "paused") and not self._stopping)
        )
        if not self._stopping:
            self.stop.setText("Stop")
            self.stop.setToolTip("Save, and end the run; it can be continued later")
            self.stop.setEnabled(live)
        continues = state in _ENDED and self._can_continue
        self.more.setVisible(continues)  # in the place of Stop, so that nothing moves
        self.stop.setVisible(not continues)

    def _pause_clicked(self) -> None:
        if self._state == "running":
            self.pause_asked.emit()
        else:
            self.resume_asked.emit()

    def _stop_clicked(self) -> None:
        if self._stopping:
            self.kill_asked.emit()
            return
        self._stopping = True
        self.stop.setText("Stopping…")
        self.stop.setEnabled(False)
        self._update()
        self.stop_asked.emit()


def _widest(button: QPushButton, *texts: str) -> int:
    """Width of the widest of a button's texts with all that stands around it, its arrow too."""
    before, widest = button.text(), 0
    button.ensurePolished()
    for text in texts:
        button.setText(text)
        widest = max(widest, button.sizeHint().width())
    button.setText(before)
    return widest
