"""The chart with its controls: x axis, log axes, smoothing, read-out, export."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QMenu, QPushButton, QSlider, QVBoxLayout, QWidget

from engine import words
from trickster_gui.controls import fonts
from trickster_gui.controls.buttons import IconButton
from trickster_gui.controls.segments import Segments, text_width
from trickster_gui.controls.text import Text
from trickster_gui.monitor import readings
from trickster_gui.monitor.history import History
from trickster_gui.monitor.legend import Entry, Legend
from trickster_gui.monitor.plots import SMALL_PLOTS, Plots
from trickster_gui.monitor.traces import Reading, Traces, XKind
from trickster_gui.theme import Theme, ThemeSource

REFRESH_MS = 200
_LOADING_REFRESH_MS = 1_000
_PAN_MS = 16
# Slider positions and the weight of the past that each stands for.
SMOOTHING = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
_DEFAULT_SMOOTHING = 4
EXPORTS = {
    "csv": "All points as CSV…",
    "jsonl": "All points as JSON lines…",
    "png": "Chart as PNG…",
    "svg": "Chart as SVG…",
}
_X_NAMES: dict[str, str] = {"step": "Steps", "tokens": "Tokens", "seconds": "Time"}


class ChartPanel(QWidget):
    """Draws one history at most five times a second, and only while it can be seen.

    ``export_asked`` carries a key of EXPORTS.
    """

    export_asked = Signal(str)

    def __init__(
        self, themes: ThemeSource, parent: QWidget | None = None, *, plots: Plots | None = None
    ) -> None:
        super().__init__(parent)
        self._themes = themes
        self._history: History | None = None
        self._traces: Traces | None = None
        self._seen_revision = -1
        self.plots = Plots(self) if plots is None else plots
        self.legend = Legend(themes, self)
        self._make_controls()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(self._control_row())
        layout.addWidget(self.legend)
        layout.addWidget(self.plots, 1)
        self._refresh_timer = QTimer(self)
        self._refresh_timer.setInterval(REFRESH_MS)
        self._refresh_timer.timeout.connect(self._refresh_if_new)
        self._pan_timer = QTimer(self)
        self._pan_timer.setSingleShot(True)
        self._pan_timer.setInterval(_PAN_MS)
        self._pan_timer.timeout.connect(self.plots.refresh)
        self.plots.view_moved.connect(self._view_moved)
        self.plots.pointed.connect(self._show_reading)
        self.plots.zoomed.connect(self.fit_button.setEnabled)
        themes.changed.connect(self._restyle)
        self._restyle(themes.current)
        self._show_reading(None)

    def _make_controls(self) -> None:
        self.x_axis = Segments(_X_NAMES, self)
        self.x_axis.setAccessibleName("What the horizontal axis counts")
        self.x_axis.set_choice("step")
        self.x_axis.chosen.connect(self._set_kind)
        self.log_x = self._toggle("log x", "Logarithmic horizontal axis")
        self.log_y = self._toggle("log y", "Logarithmic loss axis")
        self.fit_button = QPushButton("Fit", self)
        self.fit_button.setFont(fonts.small())
        self.fit_button.setEnabled(False)
        self.fit_button.setToolTip("Show everything again (0, or a double click on the chart)")
        self.fit_button.setAccessibleName("Fit the whole run into the chart")
        self.fit_button.clicked.connect(self.plots.fit)
        self.smoothing = QSlider(Qt.Orientation.Horizontal, self)
        self.smoothing.setRange(0, len(SMOOTHING) - 1)
        self.smoothing.setPageStep(1)
        self.smoothing.setValue(_DEFAULT_SMOOTHING)
        self.smoothing.setFixedWidth(90)
        self.smoothing.setAccessibleName("Smoothing of the training loss")
        self.smoothing.setToolTip(
            "How much of the past the strong line averages over (exponential moving average, "
            "without the bias of its start). The faint line is what was measured."
        )
        self.smoothing.valueChanged.connect(self._smooth)
        self.smoothing_value = Text(self._themes, fonts.small(), "muted", reserve="0.999")
        self.smoothing_value.setText(f"{SMOOTHING[_DEFAULT_SMOOTHING]:g}")
        self.menu_button = IconButton(self._themes, "menu", "Export points and pictures")
        self.menu = QMenu(self)
        for key, text in EXPORTS.items():
            action = self.menu.addAction(text)
            action.triggered.connect(lambda _=False, key=key: self.export_asked.emit(key))
        self.menu_button.clicked.connect(self._open_menu)

    def _toggle(self, text: str, name: str) -> QPushButton:
        button = QPushButton(text, self)
        button.setCheckable(True)
        button.setFont(fonts.small())
        button.setProperty("segment", True)
        button.setAccessibleName(name)
        button.setToolTip(name)
        button.toggled.connect(self._set_logarithmic)
        return button

    def _framed(self, *buttons: QPushButton) -> QFrame:
        frame = QFrame(self)
        frame.setObjectName("segments")
        inside = QHBoxLayout(frame)
        inside.setContentsMargins(2, 2, 2, 2)
        inside.setSpacing(1)
        for button in buttons:
            button.setMinimumWidth(text_width(button.text()))
            inside.addWidget(button)
        return frame

    def _control_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.x_axis)
        row.addWidget(self._framed(self.log_x, self.log_y))
        row.addWidget(self.fit_button)
        row.addStretch(1)
        caption = Text(self._themes, fonts.small(), "muted", reserve="Smoothing")
        caption.setText("Smoothing")
        row.addWidget(caption)
        row.addWidget(self.smoothing)
        row.addWidget(self.smoothing_value)
        row.addWidget(self.menu_button)
        return row

    # What is shown

    def show_history(self, history: History) -> None:
        """Draw this history from now on."""
        self._history = history
        self._traces = Traces(history, SMOOTHING[self.smoothing.value()])
        self._seen_revision = -1
        self.plots.ended = False
        self.plots.show_traces(self._traces)
        self._refresh_if_new()

    def set_ended(self, ended: bool) -> None:
        """Whether the run has ended: its axis then ends where it does."""
        if ended != self.plots.ended:
            self.plots.ended = ended
            self._seen_revision = -1
            self._refresh_if_new()

    def set_loading(self, loading: bool) -> None:
        """While a long record is read, drawing can wait."""
        self._refresh_timer.setInterval(_LOADING_REFRESH_MS if loading else REFRESH_MS)

    def _refresh_if_new(self) -> None:
        history = self._history
        if history is None or history.revision == self._seen_revision or not self.isVisible():
            return
        self._seen_revision = history.revision
        self.plots.refresh()
        self._show_reading(self.plots.reading())

    def showEvent(self, event: object) -> None:
        super().showEvent(event)  # type: ignore[arg-type]
        self._refresh_timer.start()
        self._seen_revision = -1
        self._refresh_if_new()

    def hideEvent(self, event: object) -> None:
        super().hideEvent(event)  # type: ignore[arg-type]
        self._refresh_timer.stop()

    def _view_moved(self) -> None:
        if not self._pan_timer.isActive() and self.isVisible():
            self._pan_timer.start()

    def _restyle(self, theme: Theme) -> None:
        self.plots.apply_theme(theme)
        self.plots.refresh()

    # Controls

    def _set_kind(self, kind: XKind) -> None:
        self.plots.set_kind(kind)

    def _set_logarithmic(self) -> None:
        self.plots.set_logarithmic(x=self.log_x.isChecked(), y=self.log_y.isChecked())

    def _smooth(self, position: int) -> None:
        self.smoothing_value.setText(f"{SMOOTHING[position]:g}")
        if self._traces is not None:
            self._traces.smooth(SMOOTHING[position])
            self._seen_revision = -1
            self._refresh_if_new()

    def _open_menu(self) -> None:
        self.menu.popup(self.menu_button.mapToGlobal(self.menu_button.rect().bottomLeft()))

    # Read-out

    def _show_reading(self, reading: Reading | None) -> None:
        pointed = reading is not None
        if reading is None and self._traces is not None:
            reading = self._traces.at("step", float(self._traces.last_x("step")))
        self.legend.show_entries(_entries(reading, pointed, self._best()))
        for name, title, _ in SMALL_PLOTS:
            value = "" if reading is None else _small_value(name, getattr(reading, name))
            label = self.plots.small[name][0].titleLabel
            text = f"{title}  {value}".rstrip()
            if label.text != text:
                label.setText(text)

    def _best(self) -> str:
        best = None if self._history is None else self._history.best
        return "" if best is None else f"{readings.loss(best.loss)} at {best.step:,}"


def _small_value(name: str, value: float) -> str:
    return words.short_count(value) if name == "tokens_per_s" else readings.small(value)


def _entries(reading: Reading | None, pointed: bool, best: str) -> tuple[Entry, ...]:
    """The legend: without values before the first step, with the latest, or those pointed at."""
    smoothed = raw = validation = ""
    where = ""
    if reading is not None:
        smoothed, raw = readings.loss(reading.smoothed), readings.loss(reading.loss)
        validation = readings.loss(reading.validation)
        where = f"{reading.step:,}"
    entries = [
        Entry("line", "train", "Training", smoothed, "0.0000"),
        Entry("faint", "train", "raw", raw, "0.0000"),
        Entry("points", "validation", "Validation", validation, "0.0000"),
    ]
    if where:
        entries.insert(0, Entry("none", "train", "Step", where, "1,000,000"))
    if best and not pointed:
        entries.append(Entry("none", "train", "Best", best, best))
    return tuple(entries)
