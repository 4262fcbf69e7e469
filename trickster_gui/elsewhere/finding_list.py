"""FindingList: the findings one below the other, each with its sign and the button that helps."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from trickster_gui.controls import fonts
from trickster_gui.elsewhere.findings import Finding
from trickster_gui.messages import SeverityIcon
from trickster_gui.theme import ThemeSource

MOST = 3


class _Line(QWidget):
    """One finding. Its widgets stay when another is shown, so that the focus is not lost."""

    acted = Signal(object)

    def __init__(self, themes: ThemeSource, parent: QWidget) -> None:
        super().__init__(parent)
        self._finding: Finding | None = None
        self.icon = SeverityIcon(themes, self)
        self.text = QLabel(self)
        self.text.setTextFormat(Qt.TextFormat.PlainText)  # what tools say is no markup
        self.text.setFont(fonts.base())
        self.text.setWordWrap(True)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.button = QPushButton(self)
        self.button.setFont(fonts.small(600))
        self.button.setProperty("fix", True)
        self.button.setAutoDefault(False)
        self.button.clicked.connect(lambda: self.acted.emit(self._finding))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.text, 1, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)

    def show_finding(self, finding: Finding | None) -> None:
        """Show this one, or nothing."""
        self._finding = finding
        self.setVisible(finding is not None)
        if finding is None:
            return
        self.icon.set_severity(finding.severity)
        self.text.setText(finding.text)
        self.text.setAccessibleName(f"{finding.severity}: {finding.text}")
        self.button.setText(finding.words)
        self.button.setAccessibleName(f"{finding.words}: {finding.text}")
        self.button.setVisible(bool(finding.words))


class FindingList(QFrame):
    """Has room for three findings whether there are any or not. ``acted`` carries the one whose
    button was pressed."""

    acted = Signal(object)

    def __init__(self, themes: ThemeSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("findings")
        self.lines = [_Line(themes, self) for _ in range(MOST)]
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(8)
        for line in self.lines:
            line.acted.connect(self.acted)
            column.addWidget(line)
        column.addStretch(1)

    def show_findings(self, found: tuple[Finding, ...]) -> None:
        """Show the first three; the others come up when these are mended."""
        for at, line in enumerate(self.lines):
            line.show_finding(found[at] if at < len(found) else None)
