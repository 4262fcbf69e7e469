"""Checklist: what training on a card needs, what is there, what is missing and what to do."""

from __future__ import annotations

import html
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from engine.devices.check import Check
from engine.devices.preflight import Preflight
from trickster_gui.cards.environment import EnvironmentMaker
from trickster_gui.cards.python_row import PythonRow
from trickster_gui.cards.readiness import CardReadiness
from trickster_gui.controls import fonts
from trickster_gui.controls.buttons import dialog_button
from trickster_gui.controls.text import Text
from trickster_gui.theme import Theme, ThemeSource

_SIZE = (720, 620)
# A sign as well as a colour, and the word for whoever sees neither.
_SIGNS = {"ok": ("✓", "success"), "missing": ("✗", "danger"), "unknown": ("?", "warning")}
_PACKAGE = {"ttnn": "ttnn", "tt-train": "tt-train's ttml"}  # what its Python must have
_STATES = {"ok": "ok", "missing": "missing", "unknown": "not known"}


class Checklist(QDialog):
    """One card's checklist. It stays open beside the window while the person sees to things.

    ``again`` asks for another check, with the Python to use from now on or None.
    """

    again = Signal(object)

    def __init__(
        self, device: str, title: str, readiness: CardReadiness, maker: EnvironmentMaker,
        themes: ThemeSource, parent: QWidget | None = None, *, backend: str = "ttnn",
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.device, self.backend = device, backend
        self._title, self._readiness, self._themes = title, readiness, themes
        self._maker = maker
        self.setWindowTitle(f"Training on {device}")
        self.resize(*_SIZE)
        self._make()
        self._arrange()
        readiness.changed.connect(self._changed)
        maker.changed.connect(self._show_making)
        themes.changed.connect(self._render)
        self._render()

    def _make(self) -> None:
        by = "" if self.backend == "ttnn" else f" by {self.backend}"
        self.heading = QLabel(f"Training on {self.device}{by} · {self._title}", self)
        self.heading.setFont(fonts.title())
        self.summary = Text(self._themes, fonts.base(), "muted", parent=self)
        self.list = QTextBrowser(self)
        self.list.setFont(fonts.base())
        self.list.setOpenExternalLinks(True)
        self.list.setCursorWidth(0)  # text is selected here, not typed
        self.list.setAccessibleName("Checklist")
        self.list.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextBrowserInteraction
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.row = PythonRow(self._themes, self)
        self.row.make_wanted.connect(self._make_environment)
        self.row.cancel_wanted.connect(self._maker.cancel)
        self.row.choose_wanted.connect(self._choose_python)
        self.copy = dialog_button("Copy", "Copy the whole list as text", self)
        self.copy.clicked.connect(self._copy)
        self.check = dialog_button("Check again", "Check everything again", self)
        self.check.clicked.connect(self._check_again)
        self.done_button = dialog_button("Close", "Close this list", self)
        self.done_button.clicked.connect(self.close)

    def _arrange(self) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.copy)
        buttons.addStretch(1)
        buttons.addWidget(self.check)
        buttons.addWidget(self.done_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 16, 18, 14)
        column.setSpacing(10)
        column.addWidget(self.heading)
        column.addWidget(self.summary)
        column.addWidget(self.list, 1)
        column.addWidget(self.row)
        column.addLayout(buttons)

    def _changed(self, device: str) -> None:
        if device == self.device:
            self._render()

    def _render(self, *_: object) -> None:
        """Show what is known. While a check is under way the last list stays where it is."""
        state, theme = self._readiness.state(self.device, self.backend), self._themes.current
        role, said = "muted", "Checking: this takes some seconds…"
        if not state.checking and state.error:
            role, said = "danger", _sentence(state.error)
        elif not state.checking and state.report is not None:
            role = "success" if state.report.ready else "danger"
            said = _sentence(state.report.summary())
        self.summary.set_role(role)
        self.summary.setText(said)
        self.summary.setToolTip(said)
        self.summary.setAccessibleName(said)
        self._show_making()
        self.copy.setEnabled(state.report is not None)
        self._show_report(state.report, theme)

    def _show_report(self, report: Preflight | None, theme: Theme) -> None:
        at = self.list.verticalScrollBar().value()
        self.list.setHtml("" if report is None else _page(report, theme))
        self.list.verticalScrollBar().setValue(at)

    def _show_making(self) -> None:
        """Show how far the environment is: it may be begun here, and go on when this is closed."""
        state = self._readiness.state(self.device, self.backend)
        making = self._maker.state
        # What is made has ttnn's own operations, and not tt-train's ttml.
        of_use = self.backend == "ttnn"
        self.row.show_state(state.report, making, checking=state.checking, of_use=of_use)
        self.check.setEnabled(not state.checking and making.step == "idle")

    def _copy(self) -> None:
        report = self._readiness.state(self.device, self.backend).report
        if report is not None:
            QGuiApplication.clipboard().setText(report.text())

    def _choose_python(self) -> None:
        report = self._readiness.state(self.device, self.backend).report
        start = report.interpreter if report is not None else None
        chosen, _ = QFileDialog.getOpenFileName(
            self, f"The Python of an environment with {_PACKAGE[self.backend]} (its bin/python)",
            str(start.parent if start is not None else Path.home()),
        )  # fmt: skip
        if chosen:
            self._maker.forget_error()
            self.again.emit(Path(chosen))

    def _make_environment(self) -> None:
        self._maker.make(self.device)

    def _check_again(self) -> None:
        self._maker.forget_error()
        self.again.emit(None)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _page(report: Preflight, theme: Theme) -> str:
    """The list as rich text, all of which can be selected at once."""
    rows = "".join(_row(check, theme) for check in report.checks)
    return f'<table cellspacing="0" cellpadding="0" width="100%">{rows}</table>'


def _row(check: Check, theme: Theme) -> str:
    sign, role = _SIGNS[check.state]
    state = "" if check.state == "ok" else f" · {_STATES[check.state]}"
    if not check.needed and check.state != "ok":  # nothing waits for it: no word, no colour
        sign, role, state = "–", "faint", ""
    colour = getattr(theme, role)
    advice = "".join(f'<div style="color:{theme.muted};">{_linked(line, theme)}</div>'
                     for line in check.advice.splitlines())  # fmt: skip
    return (
        f'<tr><td width="22" style="padding-bottom:9px; color:{colour}; font-weight:600;">{sign}'
        f'</td><td style="padding-bottom:9px;"><div style="color:{theme.text};">'
        f'<span style="font-weight:600;">{html.escape(check.title)}</span>'
        f'<span style="color:{colour};">{state}</span></div>'
        f'<div style="color:{theme.text};">{html.escape(check.found)}</div>{advice}'
        "</td></tr>"
    )


def _linked(line: str, theme: Theme) -> str:
    """A line whose addresses can be clicked."""
    words = []
    for word in line.split(" "):
        before, scheme, rest = word.partition("https://")
        address = html.escape(scheme + rest.rstrip("),."))
        after = rest[len(rest.rstrip("),.")) :]
        link = f'<a href="{address}" style="color:{theme.accent};">{address}</a>' if scheme else ""
        words.append(html.escape(before) + link + html.escape(after))
    return " ".join(words)
