"""MonitorView: trains the design, and shows the run while it goes on and after."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from engine.events import Event, Failed, Warned
from engine.run_directory import RunDirectory
from engine.run_spec import label_of
from trickster_gui.bridge import RunBridge, RunState, Watched
from trickster_gui.controls import fonts
from trickster_gui.controls.progress_line import ProgressLine
from trickster_gui.controls.text import Text
from trickster_gui.document import Document
from trickster_gui.monitor import readings
from trickster_gui.monitor.chart_maker import ChartMaker
from trickster_gui.monitor.corpus_check import CorpusCheck
from trickster_gui.monitor.empty_state import EmptyState
from trickster_gui.monitor.exporter import Exporter
from trickster_gui.monitor.facts import Facts
from trickster_gui.monitor.header import Header
from trickster_gui.monitor.history import History
from trickster_gui.monitor.sample_view import SampleView
from trickster_gui.monitor.sayings import FACTS, Said, detail, most_important, show_facts
from trickster_gui.theme import Theme, ThemeSource

if TYPE_CHECKING:  # half a second of imports: not before the window is there
    from trickster_gui.monitor.chart_panel import ChartPanel
    from trickster_gui.monitor.plots import Plots

_REFRESH_MS = 250
_KILL_AFTER_S = 15.0
_ENDED: tuple[RunState, ...] = ("finished", "failed", "interrupted")


class MonitorView(QWidget):
    """The Train part of the window.

    ``message`` carries severity, text, the words of a button (may be empty) and what it does
    (may be None): the arguments of Messages.post. ``outdated``: all that was said so is past,
    since a worker starts or another run is shown. ``elsewhere_asked``: the run that is shown shall
    go on on another device or in another way.
    """

    message = Signal(str, str, str, object)
    outdated = Signal()
    chart_made = Signal()
    elsewhere_asked = Signal()

    def __init__(
        self, document: Document, themes: ThemeSource, bridge: RunBridge,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._document, self._themes, self._bridge = document, themes, bridge
        self._estimate = ""
        self._device_problem = ""
        self._problem: Said | None = None
        self._loading: float | None = None
        self._stop_asked_at = 0.0
        self._watched: Watched | None = None
        self._live = False
        self._seen_live = False  # its end, then, is news
        self._failure_told: Failed | None = None
        self._corpus = CorpusCheck()
        self.history = History()
        self.setObjectName("monitor")
        self._make()
        self._arrange()
        self._connect()
        self._timer = QTimer(self)
        self._timer.setInterval(_REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        self._design_changed()
        self._restyle(themes.current)
        self._state_changed(bridge.state)

    # Making

    def _make(self) -> None:
        self.header = Header(self._themes, self)
        self.progress = ProgressLine(self._themes, self)
        self.facts = Facts(self._themes, FACTS, self)
        self.strip = Text(self._themes, fonts.small(), "muted")
        self.empty = EmptyState(self._themes, self)
        self.empty_button = self.empty.button
        self._plots: Plots | None = None
        self._chart: ChartPanel | None = None
        self._maker = ChartMaker(
            self._bridge, (self._make_plots, self._make_chart), self._chart_failed, self
        )
        self._exporter = Exporter(self._bridge, self)
        self._exporter.said.connect(lambda role, text: self.message.emit(role, text, "", None))
        self.samples = SampleView(self._themes, self)
        self.stack = QStackedWidget(self)
        self.stack.addWidget(self.empty)

    @property
    def chart(self) -> ChartPanel:
        """The chart; made now where it has not been made yet."""
        return self._chart or self._make_chart()

    @property
    def chart_pending(self) -> bool:
        """Whether the chart is still to be made."""
        return self._chart is None

    def _make_plots(self) -> Plots:
        from trickster_gui.monitor.plots import Plots

        if self._plots is None:
            self._plots = Plots()
        return self._plots

    def _make_chart(self) -> ChartPanel:
        from trickster_gui.monitor.chart_panel import ChartPanel

        if self._chart is None:
            chart = self._chart = ChartPanel(self._themes, self, plots=self._make_plots())
            chart.export_asked.connect(self._ask_export)
            chart.show_history(self.history)
            chart.set_ended(self._bridge.state in _ENDED)
            chart.set_loading(self._loading is not None)
            self.stack.addWidget(chart)
            self.refresh()
            self.chart_made.emit()
        return self._chart

    def _chart_failed(self, reason: str) -> None:
        self._show_problem("The chart cannot be drawn", reason)

    def _arrange(self) -> None:
        self.card = QFrame(self)
        self.card.setObjectName("monitorCard")
        self.splitter = QSplitter(Qt.Orientation.Horizontal, self)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(9)
        self.splitter.addWidget(self.stack)
        self.splitter.addWidget(self.samples)
        self.splitter.setStretchFactor(0, 7)
        self.splitter.setStretchFactor(1, 3)
        self.splitter.setSizes([640, 290])
        inside = QVBoxLayout(self.card)
        inside.setContentsMargins(12, 8, 12, 8)
        inside.setSpacing(4)
        for widget in (self.header, self.progress, self.facts, self.strip):
            inside.addWidget(widget)
        inside.addWidget(self.splitter, 1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.card)

    def _connect(self) -> None:
        bridge, header = self._bridge, self.header
        bridge.watching.connect(self._watch)
        bridge.events.connect(self._take_in)
        bridge.restarted.connect(self._forget_events)
        bridge.state_changed.connect(self._state_changed)
        bridge.problem.connect(self._show_problem)
        bridge.notice.connect(lambda text: self.message.emit("info", text, "", None))
        bridge.loading.connect(self._show_loading)
        header.train_asked.connect(self.train)
        header.pause_asked.connect(bridge.pause)
        header.resume_asked.connect(self._resume)
        header.stop_asked.connect(self._stop)
        header.kill_asked.connect(bridge.kill)
        header.continue_asked.connect(self._continue)
        header.rewind_asked.connect(self._rewind)
        header.elsewhere_asked.connect(self.elsewhere_asked)
        header.set_checkpoints(self._checkpoints)
        self.empty_button.clicked.connect(self.train)
        self.samples.sample_asked.connect(bridge.sample)
        self._document.changed.connect(self._design_changed)
        self._themes.changed.connect(self._restyle)

    def _restyle(self, theme: Theme) -> None:
        self.card.setStyleSheet(
            f"#monitorCard {{ background: {theme.surface}; border: 1px solid {theme.border}; "
            f"border-radius: 8px; }}"
            f"#monitorCard QSplitter::handle {{ background: transparent; }}"
        )

    # What the window feeds

    def set_estimate(self, text: str) -> None:
        """What a run of this design is predicted to take, such as "about 3 min, 39 MiB"."""
        if text != self._estimate:
            self._estimate = text
            self._say(self._bridge.state)

    def set_device_problem(self, text: str) -> None:
        """Why the chosen device cannot train and what to do; empty: it can."""
        if text != self._device_problem:
            self._device_problem = text
            self._design_changed()

    def refusal(self) -> str:
        """Why the design cannot be trained now; empty: it can."""
        problems = self._document.problems()
        if problems:
            rest = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
            first = problems[0]
            return f"Cannot train yet: {label_of(first.field)}: {first.message}{rest}"
        return self._device_problem or self._corpus.problem(self._document.run.corpus)

    def _design_changed(self, *_: object) -> None:
        reason = self.refusal()
        self.header.set_refusal(reason)
        self.empty_button.setEnabled(not reason)
        self.empty_button.setToolTip(reason)
        self.empty.set_vocabulary(self._document.model.vocab_size)
        self._say(self._bridge.state)

    # Hands

    def train(self) -> None:
        """Start a run of the design as it is now, where it can be trained."""
        self._look_for_corpus()
        if self.refusal() or self._bridge.alive:
            return
        design = self._document.design
        self._bridge.start(design.model, design.run, design.title)

    def _stop(self) -> None:
        self._stop_asked_at = time.monotonic()
        self._bridge.stop()

    def _resume(self) -> None:
        if self._bridge.state == "paused":
            self._bridge.resume_now()
        elif self._watched is not None:
            self._resume_run(self._watched.path)

    def _resume_run(self, path: Path) -> None:
        if not self._bridge.alive:
            self._bridge.resume(path)

    def _continue(self, steps: int) -> None:
        if self._watched is not None:
            self._bridge.resume(self._watched.path, max(self.history.step, 0) + steps)

    def _rewind(self, step: int) -> None:
        if self._watched is not None:
            self._bridge.resume(self._watched.path, from_step=step)

    def _checkpoints(self) -> list[int]:
        """Steps whose checkpoints are on disk now, ascending."""
        if self._watched is None:
            return []
        directory = RunDirectory(self._watched.path)
        try:
            return directory.checkpoint_steps() if directory.run_file.is_file() else []
        except OSError:  # the folder went away: the bridge says so
            return []

    # What the bridge says

    def _watch(self, watched: Watched) -> None:
        if self._watched is not None and self._watched.path != watched.path:
            self.outdated.emit()
        self._watched = watched
        self._seen_live = self._bridge.alive
        self._problem = None
        self._offer_ways_on(self._bridge.state)
        self._forget_events()

    def _offer_ways_on(self, state: RunState) -> None:
        """Offer to go on with the run, unless it failed (or its folder did) without a checkpoint:
        it would only fail again."""
        if self._watched is not None:
            possible = state != "failed" or bool(self._checkpoints())
            self.header.set_more_steps(self._watched.run.steps, possible)

    def _forget_events(self) -> None:
        self.history = History()
        if self._chart is not None:
            self._chart.show_history(self.history)
        self.samples.show_samples(self.history.samples)
        self.refresh()

    def _take_in(self, batch: tuple[Event, ...]) -> None:
        self.history.add(batch)
        if self._loading is None:
            for event in batch:
                if isinstance(event, Warned):
                    self.message.emit("warning", event.message, "", None)
        self._tell_failure()
        if self.stack.currentWidget() is self.empty or self.history.failed is not None:
            self.refresh()

    def _tell_failure(self) -> None:
        """Post why the run failed, once; not of a run that had failed before it was opened."""
        failed = self.history.failed
        news = self._seen_live and self._bridge.state == "failed"
        if failed is not None and news and failed is not self._failure_told:
            self._failure_told = failed
            said = readings.sentences(failed.message, failed.advice)
            self.message.emit("error", f"Training failed: {said}", "", None)

    def _state_changed(self, state: RunState) -> None:
        if state in ("preparing", "running"):
            self._problem = None
        live = self._bridge.alive
        if live and not self._live:
            self.outdated.emit()
        self._live, self._seen_live = live, live or self._seen_live
        self._tell_failure()
        self._offer_ways_on(state)
        self.samples.set_worker_alive(state in ("running", "paused"))
        if self._chart is not None:
            self._chart.set_ended(state in _ENDED)
        self.refresh()

    def _show_problem(self, title: str, text: str) -> None:
        self._problem = Said("danger", f"{title}: {text.splitlines()[0] if text else ''}")
        self._offer_ways_on(self._bridge.state)
        action: Callable[[], None] | None = None
        words_of_action = ""
        if title == "Training was interrupted" and self._watched is not None:
            # This very run, whichever is shown by the time of the click.
            action, words_of_action = partial(self._resume_run, self._watched.path), "Resume"
        self.message.emit("error", f"{title}: {text}", words_of_action, action)
        self.refresh()

    def _show_loading(self, fraction: float) -> None:
        self._loading = fraction if fraction < 1.0 else None
        if self._chart is not None:
            self._chart.set_loading(self._loading is not None)
        self.refresh()

    # Showing

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._timer.start()
        self.refresh()
        self._maker.begin_later()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.ActivationChange:  # back from where files are made
            self._look_for_corpus()

    def _look_for_corpus(self) -> None:
        if self._corpus.look_again():
            self._design_changed()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.stop()

    def refresh(self) -> None:
        """Show everything but the chart as it is now; cheap, and without effect while hidden."""
        state = self._bridge.state
        self.header.show_state(state, detail(self._watched, self.history, state))
        if not self.isVisible():
            return
        self._choose_page(state)
        show_facts(self.facts, self.progress, self.history, state)
        self._say(state)
        self.samples.refresh()
        waited = time.monotonic() - self._stop_asked_at
        if self.header.stopping and self._stop_asked_at and waited > _KILL_AFTER_S:
            self.header.allow_kill()

    def _say(self, state: RunState) -> None:
        """Show what is most important now: all that a change of the design changes here."""
        if not self.isVisible():
            return
        if self._loading is not None:
            said = Said("muted", f"Reading the record of this run: {self._loading:.0%}")
        else:
            said = most_important(
                self.history, state, self._problem, self.refusal(), self._estimate
            )
        self.strip.set_role(said.role)
        if said.text != self.strip.text():
            self.strip.setText(said.text)
            self.strip.setAccessibleName(said.text)
            self.strip.setToolTip(said.text)

    def _choose_page(self, state: RunState) -> None:
        drawn = bool(self.history.segments)
        ready = drawn and self._chart is not None
        self.stack.setCurrentWidget(self.chart if ready else self.empty)
        live = state in ("preparing", "running", "paused")
        self.empty_button.setVisible(not live and not drawn)
        if ready:
            return
        if drawn:
            self._maker.begin()
            self.empty.show_busy("Preparing the chart…", None)
            return
        if state in ("preparing", "running"):
            known = self.history.preparing
            if known is None:
                self.empty.show_busy("Starting the training process…", None)
            else:
                self.empty.show_busy(known.message, known.fraction)
        else:
            self.empty.show_waiting()

    # Export

    def _ask_export(self, kind: str) -> None:
        name = self._watched.path.name if self._watched is not None else "run"
        path = self._exporter.ask_path(name, kind)
        if path is not None:
            self.export(path, kind)

    def export(self, path: Path, kind: str) -> None:
        """Write all points (csv, jsonl) or the chart (png, svg) in the background."""
        self._exporter.write(path, kind, self.history, lambda: self.chart.plots)
