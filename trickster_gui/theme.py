"""Colours, once: every colour means one thing everywhere, in light and in dark.

Model components wear the Okabe-Ito colours; kinds of memory wear a separate family (Paul Tol's
muted scheme) so that no colour has two meanings. Both are told apart under every common colour
blindness, and nothing is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QFont, QGuiApplication

Choice = Literal["system", "light", "dark"]


@dataclass(frozen=True)
class Theme:
    """All colours of one appearance, as #rrggbb."""

    name: Literal["light", "dark"]
    background: str
    surface: str
    raised: str
    border: str
    text: str
    muted: str
    faint: str
    grid: str
    accent: str
    accent_text: str
    danger: str
    warning: str
    success: str
    components: Mapping[str, str]
    memory: Mapping[str, str]
    series: Mapping[str, str]


LIGHT = Theme(
    name="light",
    background="#f6f6f4",
    surface="#ffffff",
    raised="#f0f0ed",
    border="#deded9",
    text="#1b1c1e",
    muted="#5f6166",
    faint="#6b6d73",
    grid="#ecece8",
    accent="#2f5fd0",
    accent_text="#ffffff",
    danger="#b3261e",
    warning="#8a5a00",
    success="#1d6f42",
    components=MappingProxyType(
        {
            "embedding": "#0072b2",
            "position": "#56b4e9",
            "attention": "#e69f00",
            "mlp": "#009e73",
            "norm": "#cc79a7",
            "head": "#d55e00",
        }
    ),
    memory=MappingProxyType(
        {
            "weights": "#332288",
            "gradients": "#7f77c4",
            "optimizer": "#aa4499",
            "activations": "#999933",
            "logits": "#ddcc77",
        }
    ),
    series=MappingProxyType(
        {
            "train": "#2f5fd0",
            "validation": "#c2185b",
            "floor": "#6b6d73",
            "lr": "#5f6166",
            "grad_norm": "#5f6166",
            "speed": "#5f6166",
        }
    ),
)

DARK = Theme(
    name="dark",
    background="#131417",
    surface="#1b1d21",
    raised="#24272c",
    border="#32353c",
    text="#e9e9e7",
    muted="#a3a6ad",
    faint="#8e929b",
    grid="#272a30",
    accent="#7aa2ff",
    accent_text="#0d1220",
    danger="#ff8a80",
    warning="#f2c14e",
    success="#7bd3a0",
    components=MappingProxyType(
        {
            "embedding": "#2f95d3",
            "position": "#7cc7f2",
            "attention": "#f0b429",
            "mlp": "#1fb98d",
            "norm": "#d993bb",
            "head": "#ea7536",
        }
    ),
    memory=MappingProxyType(
        {
            "weights": "#6a5acd",
            "gradients": "#a59ee0",
            "optimizer": "#c765b6",
            "activations": "#a8a84a",
            "logits": "#e6d88f",
        }
    ),
    series=MappingProxyType(
        {
            "train": "#7aa2ff",
            "validation": "#ff7aa8",
            "floor": "#8e929b",
            "lr": "#a3a6ad",
            "grad_norm": "#a3a6ad",
            "speed": "#a3a6ad",
        }
    ),
)


class ThemeSource(QObject):
    """Tells everybody which theme is on; follows the system unless a person chose one.

    One object for the whole window, handed to each panel that paints.
    """

    changed = Signal(object)

    def __init__(self, choice: Choice = "system", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._choice: Choice = choice
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_changed)

    @property
    def choice(self) -> Choice:
        """What the person chose: system, light or dark."""
        return self._choice

    @property
    def current(self) -> Theme:
        """The theme to paint with now."""
        if self._choice == "system":
            scheme = QGuiApplication.styleHints().colorScheme()
            return DARK if scheme == Qt.ColorScheme.Dark else LIGHT
        return DARK if self._choice == "dark" else LIGHT

    def choose(self, choice: Choice) -> None:
        """Switch; ``changed`` carries the new Theme."""
        self._choice = choice
        self.changed.emit(self.current)

    def _system_changed(self) -> None:
        if self._choice == "system":
            self.changed.emit(self.current)


def tabular(font: QFont) -> QFont:
    """The font with figures of equal width, so that changing numbers do not jitter."""
    result = QFont(font)
    result.setFeature(QFont.Tag("tnum"), 1)
    return result
