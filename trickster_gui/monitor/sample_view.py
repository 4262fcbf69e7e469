"""The sample stream: what the model writes while it learns, from noise to language."""

from __future__ import annotations

import unicodedata

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSlider,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from engine.events import Sample
from trickster_gui.controls import fonts
from trickster_gui.controls.combo import QuietCombo
from trickster_gui.controls.segments import text_width
from trickster_gui.controls.text import Text
from trickster_gui.monitor.readings import printable, quoted
from trickster_gui.monitor.samples import Samples
from trickster_gui.theme import ThemeSource

_MAX_PROMPT = 4_096


def monospaced(pixels: int) -> QFont:
    """The system's font of equal widths."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setPixelSize(pixels)
    return font


class SampleText(QTextEdit):
    """Shows one sample: its prompt in bold, its text after it. Plain text only, whatever it is."""

    def __init__(self, themes: ThemeSource, name: str, role: str, pixels: int) -> None:
        super().__init__()
        self._themes, self._role = themes, role
        self._sample: Sample | None = None
        self._shown: tuple[Sample | None, str, str] | None = None
        self._hint = ""
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setAccessibleName(name)
        self.setFont(monospaced(pixels))
        self.setTabChangesFocus(True)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.document().setDocumentMargin(5)
        themes.changed.connect(self._write)

    def show_sample(self, sample: Sample | None) -> None:
        """Show this sample, or nothing."""
        self._sample = sample
        self._write()

    def set_hint(self, hint: str) -> None:
        """What stands there while there is no sample."""
        self._hint = hint
        self._write()

    def _write(self, *_: object) -> None:
        theme = self._themes.current
        if self._shown == (self._sample, theme.name, self._hint):
            return
        self._shown = (self._sample, theme.name, self._hint)
        self.clear()
        cursor = QTextCursor(self.document())
        if self._sample is None:
            quiet = QTextCharFormat()
            quiet.setForeground(QColor(theme.muted))
            quiet.setFont(fonts.small())
            cursor.insertText(self._hint, quiet)
            return
        self._set_direction(self._sample.prompt)
        prompt = QTextCharFormat()
        prompt.setFontWeight(QFont.Weight.Bold)
        prompt.setForeground(QColor(theme.text))
        text = QTextCharFormat()
        text.setForeground(QColor(getattr(theme, self._role)))
        cursor.insertText(printable(self._sample.prompt), prompt)
        cursor.insertText(printable(self._sample.text), text)
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def _set_direction(self, prompt: str) -> None:
        """Lines run as the prompt does: noise must not turn them by a stray Arabic letter."""
        leftwards = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in prompt)
        option = self.document().defaultTextOption()
        option.setTextDirection(
            Qt.LayoutDirection.LayoutDirectionAuto if leftwards else Qt.LayoutDirection.LeftToRight
        )
        self.document().setDefaultTextOption(option)


class SampleView(QWidget):
    """One prompt's samples with a scrubber over their steps.

    It follows the newest sample until a person scrubs away from it; "Latest" follows again.
    ``sample_asked`` carries a prompt.
    """

    sample_asked = Signal(str)

    def __init__(self, themes: ThemeSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._themes = themes
        self._samples = Samples()
        self._list: list[Sample] = []
        self._prompts: list[str] = []
        self._following = True
        self._make()
        self._arrange()
        self.set_worker_alive(False)
        self.refresh()

    def _make(self) -> None:
        self.prompts = QuietCombo(self)
        self.prompts.setFont(fonts.small())
        self.prompts.setAccessibleName("Prompt whose samples are shown")
        self.prompts.setToolTip("The beginning that the model continues")
        self.prompts.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.prompts.currentIndexChanged.connect(self._prompt_chosen)
        self.latest = QPushButton("Latest", self)
        self.latest.setCheckable(True)
        self.latest.setChecked(True)
        self.latest.setFont(fonts.small())
        self.latest.setProperty("segment", True)
        self.latest.setAccessibleName("Follow the newest sample")
        self.latest.setToolTip("Show each new sample as it comes")
        self.latest.clicked.connect(self._follow_clicked)
        self.text = SampleText(self._themes, "Sample", "text", 12)
        self.text.set_hint(
            "Here the model continues the same prompt again and again while it learns: first "
            "noise, then letters and words, then sentences. Scrub through the steps below."
        )
        self.scrubber = QSlider(Qt.Orientation.Horizontal, self)
        self.scrubber.setAccessibleName("Step of the sample")
        self.scrubber.setToolTip("From noise to language: drag, or use the arrow keys")
        self.scrubber.setPageStep(5)
        self.scrubber.valueChanged.connect(self._scrubbed)
        self.where = Text(
            self._themes, fonts.small(), "muted", reserve="step 100,000",
            align=Qt.AlignmentFlag.AlignRight,
        )  # fmt: skip
        self.untrained_caption = Text(self._themes, fonts.small(), "muted")
        self.untrained_caption.setText("Before training (step 0)")
        self.untrained = SampleText(self._themes, "Sample of the untrained model", "muted", 11)
        self.untrained.setFixedHeight(46)
        self.prompt_edit = QLineEdit(self)
        self.prompt_edit.setFont(fonts.small())
        self.prompt_edit.setMaxLength(_MAX_PROMPT)
        self.prompt_edit.setAccessibleName("Prompt for a sample now")
        self.prompt_edit.returnPressed.connect(self._ask)
        self.ask_button = QPushButton("Sample", self)
        self.ask_button.setFont(fonts.small())
        self.ask_button.setAccessibleName("Ask the model for a sample now")
        self.ask_button.clicked.connect(self._ask)

    def _arrange(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(4)
        top.addWidget(self.prompts, 1)
        frame = QFrame(self)
        frame.setObjectName("segments")
        inside = QHBoxLayout(frame)
        inside.setContentsMargins(2, 2, 2, 2)
        inside.addWidget(self.latest)
        self.latest.setMinimumWidth(text_width("Latest"))
        top.addWidget(frame)
        middle = QHBoxLayout()
        middle.addWidget(self.scrubber, 1)
        middle.addWidget(self.where)
        bottom = QHBoxLayout()
        bottom.setSpacing(4)
        bottom.addWidget(self.prompt_edit, 1)
        bottom.addWidget(self.ask_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.text, 1)
        layout.addLayout(middle)
        layout.addWidget(self.untrained_caption)
        layout.addWidget(self.untrained)
        layout.addLayout(bottom)

    # What is shown

    def show_samples(self, samples: Samples) -> None:
        """Show these from now on, the newest first."""
        self._samples = samples
        self._following = True
        self.refresh()

    def refresh(self) -> None:
        """Take in samples that are new."""
        prompts = self._samples.prompts()
        if prompts != self._prompts:
            self._fill_prompts(prompts)
        prompt = self._prompt()
        self._list = [] if prompt is None else self._samples.of(prompt)
        with QSignalBlocker(self.scrubber):
            known = self.scrubber.value()
            self.scrubber.setRange(0, max(len(self._list) - 1, 0))
            self.scrubber.setValue(len(self._list) - 1 if self._following else known)
            self.scrubber.setEnabled(len(self._list) > 1)
        self._show_place()

    def _fill_prompts(self, prompts: list[str]) -> None:
        chosen = self._prompt()
        with QSignalBlocker(self.prompts):
            self.prompts.clear()
            for prompt in prompts:
                self.prompts.addItem(quoted(prompt) or "(no prompt)")
            self._prompts = list(prompts)
            if chosen in prompts:
                self.prompts.setCurrentIndex(prompts.index(chosen))
            elif prompts:
                self.prompts.setCurrentIndex(0)
        self.prompts.setEnabled(len(prompts) > 1)

    def _prompt(self) -> str | None:
        index = self.prompts.currentIndex()
        return self._prompts[index] if 0 <= index < len(self._prompts) else None

    def _show_place(self) -> None:
        index = self.scrubber.value()
        sample = self._list[index] if index < len(self._list) else None
        self.text.show_sample(sample)
        self.where.setText("" if sample is None else f"step {sample.step:,}")
        self.latest.setChecked(self._following)
        prompt = self._prompt()
        first = None if prompt is None else self._samples.untrained(prompt)
        self.untrained.show_sample(first)
        self.untrained.set_hint(
            "This prompt was not asked of the untrained model."
            if prompt is not None
            else "Random weights write noise; it stays here to compare with."
        )

    # Hands

    def _prompt_chosen(self, index: int) -> None:
        self._following = True
        self.refresh()

    def _scrubbed(self, index: int) -> None:
        self._following = index == self.scrubber.maximum()
        self._show_place()

    def _follow_clicked(self) -> None:
        self._following = self.latest.isChecked()
        self.refresh()

    def select_prompt(self, prompt: str) -> None:
        """Show the samples of this prompt, where there are any."""
        if prompt in self._prompts:
            self.prompts.setCurrentIndex(self._prompts.index(prompt))

    def set_worker_alive(self, alive: bool) -> None:
        """Samples can be asked for while there is somebody to ask."""
        self.prompt_edit.setEnabled(alive)
        self.ask_button.setEnabled(alive)
        self.prompt_edit.setPlaceholderText(
            "Continue this text…" if alive else "Samples on request while training"
        )

    def _ask(self) -> None:
        prompt = self.prompt_edit.text()
        if prompt and self.ask_button.isEnabled():
            self.sample_asked.emit(prompt)
            self.prompt_edit.clear()
