"""The application: brings back the last session, opens the window, keeps the session on disk."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QLoggingCategory, QObject, QTimer
from PySide6.QtWidgets import QApplication, QLineEdit

from engine import __version__
from engine.cost.calibration import Calibration, CalibrationError, load_calibration
from engine.devices.card import card_name
from engine.devices.host import free_memory_bytes
from engine.locations import data_home
from engine.presets import preset
from engine.recipe import FIRST_LOOK_S, predicted_time, proposed_run
from engine.run_spec import run_to_dict
from engine.words import duration
from trickster_gui import collector, last_resort
from trickster_gui.bridge import RunBridge
from trickster_gui.cards.desk import CardDesk
from trickster_gui.commands import Command
from trickster_gui.controls import fonts
from trickster_gui.devices import (
    Surroundings,
    full_surroundings,
    with_free_memory,
    with_tools_asked,
)
from trickster_gui.document import Document, History
from trickster_gui.elsewhere.desk import ElsewhereDesk
from trickster_gui.main_window import MainWindow
from trickster_gui.messages import Messages
from trickster_gui.monitor.view import MonitorView
from trickster_gui.presets_list import design_of
from trickster_gui.session import KEPT_STEPS, Session, SessionError, load_session, save_session
from trickster_gui.theme import ThemeSource

FIRST_PRESET = "first-minute"
_FREE_MEMORY_MS = 15_000
_SAVE_MS = 600
# The window is there and at rest before anything is measured.
_MEASURE_AFTER_MS = 1_500


class Application(QObject):
    """One window with all it needs. ``close`` ends threads; the session is on disk by then."""

    def __init__(self, session_path: Path | None = None) -> None:
        super().__init__()
        self.session_path = session_path or data_home() / "session.json"
        self.messages = Messages(self)
        self._fresh = False  # nobody has designed anything here yet
        self._calibration: Calibration | None = None
        self._calibration_damaged = False
        self._closing = threading.Event()
        session = self._load()
        self.document = Document(session.history.first, self)
        self.document.restore(session.history)
        self.themes = ThemeSource(session.settings.theme, self)
        self.bridge = RunBridge(self)
        self.window = MainWindow(
            self.document, self.themes, self.messages, session.settings,
            MonitorView(self.document, self.themes, self.bridge),
        )  # fmt: skip
        self.cards = CardDesk(self.window, self.bridge, self.messages, self)
        self.cards.cards_changed.connect(self._list_cards)
        self.elsewhere = ElsewhereDesk(self.window, self.bridge, self.cards, self.messages, self)
        self.window.files.path = session.path
        self._save_failed = self._measuring = False
        # Not restarted by further changes: a drag that goes on is saved all the same.
        self._save_timer = QTimer(self, singleShot=True, interval=_SAVE_MS)
        # Other programs take memory and give it back: a verdict of this morning is worth nothing.
        self._free_timer = QTimer(self, interval=_FREE_MEMORY_MS)
        self._free_timer.timeout.connect(self.look_at_free_memory)
        self._save_timer.timeout.connect(self.save)
        self.document.changed.connect(self._save_soon)
        self.window.state_changed.connect(self._save_soon)
        self._declare_commands()

    def start(self) -> None:
        """Show the window, then ask slow drivers what this computer has."""
        self.window.show()
        self.window.setFocus()  # no control looks chosen before one is
        self.bridge.run_in_background(full_surroundings, self._devices_listed, self._devices_failed)
        self._show_calibration()
        self.bridge.attach_latest()
        self._free_timer.start()

    def look_at_free_memory(self) -> None:
        """Judge fit by what is free now, where that has changed."""
        around = with_free_memory(self.window.around, free_memory_bytes())
        if around is not self.window.around:
            self.window.show_surroundings(around)

    def _devices_listed(self, around: Surroundings) -> None:
        """Show what drivers tell at once; then ask Tenstorrent's tools, which may take long."""
        self.window.show_surroundings(around)
        self._list_cards()

    def _list_cards(self) -> None:
        around = self.window.around
        self.bridge.run_in_background(
            lambda: with_tools_asked(around, self._closing.is_set),
            self._cards_listed, self._devices_failed,
        )  # fmt: skip

    def _cards_listed(self, around: Surroundings) -> None:
        self.window.show_surroundings(around)
        self.cards.look_at(around)
        if around.problems:
            self._devices_failed("; ".join(around.problems))

    def _declare_commands(self) -> None:
        bridge = self.bridge
        for command in (
            Command("train", "Train this design", self._train,
                    ("Ctrl+Return", "Ctrl+R"), "Run", lambda: not bridge.alive),
            Command("pause", "Pause training", bridge.pause, (), "Run",
                    lambda: bridge.state == "running"),
            Command("resume", "Go on training", bridge.resume_now, (), "Run",
                    lambda: bridge.state == "paused"),
            Command("elsewhere", "Go on with this run elsewhere…", self.elsewhere.open, (), "Run",
                    self.elsewhere.can_open),
            Command("stop", "Stop training", bridge.stop, (), "Run", lambda: bridge.alive),
            Command("calibrate", "Measure this computer's speed", self.calibrate, (), "Run"),
            Command("card", "What training on this card needs…", self._check_card, (), "Run",
                    lambda: bool(card_name(self.document.run.device))),
            Command("suit", "Make the run last about a minute here", self.suit_run, (), "Run"),
        ):  # fmt: skip
            self.window.add_command(command)

    def _train(self) -> None:
        """Train what is seen: what is typed in a field counts, though nobody pressed Return."""
        focused = QApplication.focusWidget()
        if isinstance(focused, QLineEdit):
            focused.clearFocus()
            focused.setFocus()
        self.window.monitor.train()

    def _check_card(self) -> None:
        """Show the checklist of the card that the design would be trained on."""
        self.cards.open_checklist(self.document.run.device)

    def calibrate(self) -> None:
        """Measure how fast this computer trains, for predicted times."""
        if self._measuring:
            return
        self._measuring = True
        self.window.set_calibration(None, measuring=True)
        self.messages.post("info", "Measuring how fast this computer trains: some seconds…")
        self.bridge.calibrate(lambda _: None, self._calibrated, self._calibration_failed)

    def measure_if_new(self) -> None:
        """Measure this computer where nothing is known of it; not while a run uses it."""
        if self._calibration is None and not self._calibration_damaged and not self.bridge.alive:
            self.calibrate()

    def suit_run(self, budget_s: float = FIRST_LOOK_S) -> None:
        """Change steps, batch and intervals so that the run takes about ``budget_s`` here."""
        if self._calibration is None:
            self.messages.post(
                "info", "This needs one measurement of this computer first.", "Measure now",
                self.calibrate,
            )  # fmt: skip
            return
        run = self.document.run
        suited = proposed_run(self.document.model, run, self._calibration, budget_s)
        if suited is None:
            self.messages.post("info", f"Nothing was measured here in {run.precision}.")
            return
        before = run_to_dict(run)
        changes = {name: v for name, v in run_to_dict(suited).items() if v != before[name]}
        self.document.edit(run=changes, text="Suit the run to this computer")
        time = predicted_time(self.document.model, suited, self._calibration)
        lasting = "" if time is None else f" takes about {duration(time.seconds)} here now"
        self.messages.post(
            "success",
            f"The run{lasting}: {suited.steps:,} steps of {suited.batch_size:,} sequences.",
            "Undo", self.document.undo_stack.undo,
        )  # fmt: skip

    def _calibrated(self, _: object) -> None:
        self._measuring = False
        self._show_calibration()
        if self._fresh and not self.document.undo_stack.count() and not self.bridge.alive:
            self.suit_run()
        else:
            self.messages.post("success", "Measured: predicted times are this computer's now.")

    def _calibration_failed(self, reason: str) -> None:
        self._measuring = False
        self._show_calibration()
        self.messages.post("error", f"The speed can't be measured: {reason}", "Try again",
                           self.calibrate)  # fmt: skip

    def _show_calibration(self) -> None:
        try:
            self._calibration = load_calibration()
            self._calibration_damaged = False
        except CalibrationError as error:
            self._calibration, self._calibration_damaged = None, True
            self.messages.post("warning", str(error), "Measure again", self.calibrate)
        self.window.set_calibration(self._calibration, measuring=self._measuring)

    def _devices_failed(self, reason: str) -> None:
        self.messages.post("warning", f"Devices can't be listed completely: {reason}")

    def save(self, *, sync: bool = False) -> None:
        """Write the session now. A failure is told once."""
        self._save_timer.stop()
        self._free_timer.stop()
        try:
            save_session(self.session_path, self.session(), sync=sync)
        except OSError as error:
            if not self._save_failed:
                self.messages.post("warning", f"The session can't be kept: {error}")
            self._save_failed = True
        else:
            self._save_failed = False

    def session(self) -> Session:
        """The session as it is now."""
        history = self.document.history(KEPT_STEPS)
        return Session(history, self.window.settings(), self.window.files.path)

    def close(self) -> None:
        """Save, and end everything that runs besides the window. Runs themselves go on."""
        self.save(sync=True)
        self._closing.set()
        self.elsewhere.close()
        self.cards.close()
        self.window.close()
        self._save_timer.stop()
        self.bridge.shutdown()
        self.window.deleteLater()

    def show_error(self, line: str, details: str) -> None:
        """Show an error that nobody caught, with its details to copy."""
        self.messages.post("error", line, details=details)

    def _save_soon(self) -> None:
        if not self._save_timer.isActive():
            self._save_timer.start()

    def _load(self) -> Session:
        try:
            found = load_session(self.session_path)
        except SessionError as error:
            self.messages.post("warning", str(error))
            found = None
        self._fresh = found is None
        return found or Session(History(design_of(preset(FIRST_PRESET))))


def main(argv: Sequence[str] | None = None) -> int:
    """Open the window; returns the exit status."""
    arguments = _arguments(sys.argv[1:] if argv is None else argv)
    application = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(application, QApplication)
    prepare(application)
    opened = Application()
    restore_hook = last_resort.install(
        data_home() / "errors.log",
        opened.show_error,
    )
    if arguments.spec:
        opened.window.files.open(arguments.spec)
    opened.start()
    QTimer.singleShot(0, opened, collector.settle)
    opened.window.monitor.chart_made.connect(collector.settle)
    QTimer.singleShot(_MEASURE_AFTER_MS, opened, opened.measure_if_new)
    try:
        return application.exec()
    finally:
        opened.close()
        restore_hook()


def prepare(application: QApplication) -> None:
    """Name, style and font: before the first widget is made."""
    application.setApplicationName("Trickster")
    application.setApplicationVersion(__version__)
    application.setStyle("Fusion")
    application.setFont(fonts.base())
    # Random bytes of an untrained model name scripts that no font has; nobody needs to hear it.
    QLoggingCategory.setFilterRules("qt.text.font.db=false")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="trickster", description="Design a language model, train it, look inside it."
    )
    parser.add_argument(
        "spec", nargs="?", metavar="SPEC",
        help="a design to open: a preset's name, a design file or a published config.json",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"Trickster {__version__}")
    return parser.parse_args(list(argv))
