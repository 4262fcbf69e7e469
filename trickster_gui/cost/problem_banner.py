"""What is wrong with the design, over the dimmed picture of the last good one."""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from engine.parameter import SpecError, show
from engine.run_spec import label_of
from trickster_gui.cost import ink
from trickster_gui.cost.ink import Look, Part
from trickster_gui.cost.rows import FlatButton

_PADDING = 14


class ProblemBanner(Part):
    """Names the guilty parameter, says why, and offers the fix. Floats: nothing moves for it."""

    fix_wanted = Signal(object)

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(look, parent)
        self._home = parent
        self._problem: SpecError | None = None
        self.button = FlatButton(look, self)
        self.button.explain("Repairs the design in one step; undo takes it back.")
        self.button.clicked.connect(lambda: self.fix_wanted.emit(self._problem))
        self.hide()

    @property
    def lines(self) -> tuple[str, str, str]:
        """The guilty parameter, the reason, and what is shown meanwhile."""
        if self._problem is None:
            return "", "", ""
        message = self._problem.message
        reason = message[:1].upper() + message[1:] + ("" if message.endswith(".") else ".")
        return label_of(self._problem.field), reason, "Shown is the last design that works."

    def show_problem(self, problem: SpecError | None) -> None:
        """Show a problem; None: there is none any more."""
        self._problem = problem
        self.setVisible(problem is not None)
        if problem is None:
            return
        self.button.setText(fix_words(problem))
        self.button.setVisible(bool(problem.fix))
        self.setAccessibleName("Problem: " + " ".join(self.lines))
        self.fit_into(self._home.rect())
        self.raise_()
        self.update()

    def fit_into(self, area: QRect) -> None:
        """Take the middle of ``area``, as wide as the words need."""
        look = self.look
        name, reason, meanwhile = self.lines
        most = area.width() - 80
        words = max(
            ink.width_of(look.bold, name) + 22,
            ink.width_of(look.base, reason),
            ink.width_of(look.small, meanwhile) + self.button.sizeHint().width() + 24,
        )
        width = min(most, words + 2 * _PADDING + 8)
        per_line = width - 2 * _PADDING
        lines = -(-ink.width_of(look.base, reason) * 11 // (10 * per_line)) or 1
        lines = 1 if ink.width_of(look.base, reason) <= per_line else max(2, lines)
        height = (look.line + 4) * (1 + lines) + look.line + 6 + 2 * _PADDING
        left = area.center().x() - width // 2
        self.setGeometry(left, area.center().y() - height // 2, width, height)
        hint = self.button.sizeHint()
        self.button.setGeometry(
            width - _PADDING - hint.width(),
            height - _PADDING - hint.height() + 3,
            hint.width(),
            hint.height(),
        )

    def set_look(self, look: Look) -> None:
        self.button.set_look(look)
        super().set_look(look)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look = QPainter(self), self.look
        danger = look.colour("danger")
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        ink.rounded(painter, box, look.colour("surface"), 8.0)
        painter.setPen(danger)
        painter.setBrush(ink.mixed(look.colour("surface"), danger, 0.06))
        painter.drawRoundedRect(box, 8.0, 8.0)
        name, reason, meanwhile = self.lines
        area = self.rect().adjusted(_PADDING, _PADDING, -_PADDING, -_PADDING)
        step = look.line + 4
        top = QRect(area.left(), area.top(), area.width(), step)
        middle = QRectF(top).center()
        middle.setX(area.left() + 5)
        ink.verdict_icon(painter, middle, "does not fit", danger)
        painter.setFont(look.bold)
        painter.setPen(danger)
        ink.put(painter, top.adjusted(18, 0, 0, 0), name)
        painter.setFont(look.base)
        painter.setPen(look.colour("text"))
        below = area.adjusted(0, step + 2, 0, -look.line - 4)
        ink.put(painter, below, reason, ink.Align.AlignTop, wrap=True)
        painter.setFont(look.small)
        painter.setPen(look.colour("muted"))
        ink.put(painter, area, meanwhile, ink.Align.AlignBottom)


def fix_words(problem: SpecError) -> str:
    """``Set Attention heads to 8``"""
    parts = [f"{label_of(name)} to {show(value)}" for name, value in problem.fix.items()]
    return "Set " + ", ".join(parts)
