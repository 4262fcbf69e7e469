"""Follows one run, in a thread of its own: starts the worker, reads its record, sends commands."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import psutil
from PySide6.QtCore import QObject, QThread, QTimer, Signal, Slot

from engine.events import Event, Preparing, Started
from engine.run_directory import RunDirectory, read_json, state_after
from trickster_gui.bridge.launcher import Launcher
from trickster_gui.bridge.orders import (
    AS_IT_WAS,
    LIVE_STATES,
    Acknowledge,
    Attach,
    AttachLatest,
    Beginning,
    Close,
    Kill,
    Order,
    Resume,
    RunState,
    Send,
    Start,
    Watched,
)
from trickster_gui.bridge.tail import EventTail, last_lines
from trickster_gui.bridge.wording import describe, describe_interruption

BATCH_INTERVAL_MS = 50
IDLE_INTERVAL_MS = 500
BATCH_EVENTS = 4_000
_READ_BUDGET_S = 0.03
_LIVENESS_INTERVAL_S = 0.5
_LOADING_BYTES = 2 << 20
_STATE_EVENTS = frozenset(
    ("preparing", "started", "step", "paused", "resumed", "finished", "failed")
)

# Workers that were left running when their window closed: kept so that their end is collected.
_left_running: list[subprocess.Popen[bytes]] = []


class RunFollower(QObject):
    """Lives in its own QThread; everything reaches it and leaves it by queued signals.

    At most one batch of events is under way to the window: the next one waits until the last has
    been taken in, so a slow window is never flooded.
    """

    watching = Signal(object)
    events = Signal(tuple)
    restarted = Signal()
    state_changed = Signal(str)
    problem = Signal(str, str)
    loading = Signal(float)
    closed = Signal()

    def __init__(self, beginning: Beginning, launcher: Launcher) -> None:
        super().__init__()
        self._beginning = beginning
        self._launcher = launcher
        self._directory: RunDirectory | None = None
        self._tail: EventTail | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._timer: QTimer | None = None
        self._state: RunState | None = None
        self._last_event = ""
        self._launched_at = 0.0
        self._alive = False
        self._alive_checked = -_LIVENESS_INTERVAL_S
        self._under_way = False
        self._loading = False
        self._told: set[str] = set()

    @Slot()
    def begin(self) -> None:
        """First thing in the thread."""
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        if self._guarded("The run cannot be used", self._open):
            self._timer.start(BATCH_INTERVAL_MS)
        else:
            self._set_state("none")

    @Slot(object)
    def obey(self, order: Order) -> None:
        """Carry out an order of the window."""
        if isinstance(order, Acknowledge):
            self._under_way = False
        elif isinstance(order, Close):
            self._close()
        elif isinstance(order, Send):
            self._guarded("The worker could not be told", lambda: self._send(order))
        elif isinstance(order, Kill):
            self._guarded("The worker could not be ended", self._kill)

    def _guarded(self, title: str, action: Callable[[], None]) -> bool:
        """The last line of defence: whatever goes wrong in here becomes a message."""
        try:
            action()
        except Exception as error:
            self._tell(title, describe(error))
            return False
        return True

    def _tell(self, title: str, text: str) -> None:
        """Say each thing once."""
        if title + text not in self._told:
            self._told.add(title + text)
            self.problem.emit(title, text)

    # Beginning

    def _open(self) -> None:
        order = self._beginning
        if isinstance(order, Start):
            self._watch(self._launcher.create(order.model, order.run, order.title))
            self._launch()
        elif isinstance(order, Attach):
            self._watch(RunDirectory(order.path))
        elif isinstance(order, Resume):
            self._watch(RunDirectory(order.path))
            if not self._alive:
                self._launch(order)
        elif isinstance(order, AttachLatest):
            runs = [RunDirectory(path) for path in self._launcher.runs()]
            chosen = next((run for run in runs if run.worker_alive()), runs[0] if runs else None)
            if chosen is None:
                self._set_state("none")
            else:
                self._watch(chosen)

    def _watch(self, directory: RunDirectory) -> None:
        record = directory.record()
        self._directory = directory
        self._tail = EventTail(directory.events_file)
        self._alive = directory.worker_alive()
        self.watching.emit(
            Watched(
                directory.path, record.title, record.model, record.run, record.created, self._alive
            )
        )

    def _launch(self, resume: Resume | None = None) -> None:
        """Start a worker on the run that is watched: a new one, or one that is to go on."""
        assert self._directory is not None
        self._set_state("preparing")
        self._launched_at = time.time()  # what the record says before is about earlier workers
        try:
            self._process = self._launcher.launch(
                self._directory,
                resume=resume is not None,
                steps=None if resume is None else resume.steps,
                from_step=None if resume is None else resume.from_step,
                elsewhere=AS_IT_WAS if resume is None else resume.elsewhere,
            )
        except Exception:
            self._set_state("failed")
            raise
        self._last_event, self._alive = "", True

    # Following

    @Slot()
    def _tick(self) -> None:
        self._guarded("The run cannot be followed", self._advance)

    def _advance(self) -> None:
        if self._directory is None or self._tail is None or self._under_way:
            return
        if not self._directory.run_file.is_file():  # parts of the folder may be left
            self._vanished()
            return
        self._check_alive()  # before reading: what a dying worker wrote last is then in the file
        if self._tail.restarted():
            self._last_event = ""
            self.restarted.emit()
            self._tell(
                "The record of this run was replaced",
                "events.jsonl is another or a shorter file than before; it is read anew.",
            )
        batch = self._tail.read(BATCH_EVENTS, _READ_BUDGET_S)
        self._show_loading()
        self._note_state(batch)
        if batch:
            self._under_way = True
            self.events.emit(tuple(batch))
        elif self._tail.caught_up or not self._tail.backlog_bytes:
            self._settle()

    def _note_state(self, batch: list[Event]) -> None:
        for event in batch:
            if event.name in _STATE_EVENTS and event.time >= self._launched_at:
                self._last_event = event.name
                if isinstance(event, Preparing | Started):
                    self._told.clear()
        if batch and self._alive and not self._loading:
            self._set_state(state_after(self._last_event, True))

    def _show_loading(self) -> None:
        assert self._tail is not None
        if self._tail.backlog_bytes > _LOADING_BYTES:
            self._loading = True
        if self._loading:
            fraction = self._tail.fraction()
            self.loading.emit(fraction)
            self._loading = fraction < 1.0

    def _settle(self) -> None:
        """All that was written has been read: say how the run stands now."""
        assert self._directory is not None
        assert self._tail is not None
        if self._tail.unreadable:
            self._tell(
                "Part of the record is damaged",
                f"{self._tail.unreadable:,} lines of {self._directory.events_file} cannot be read "
                "and are left out.",
            )
        before = self._state
        state: RunState = state_after(self._last_event, self._alive)
        if state == "interrupted" and not self._directory.run_file.is_file():
            self._vanished()  # only now: a folder is deleted file by file
            return
        self._set_state(state)
        if state == "interrupted" and before in LIVE_STATES:
            log = last_lines(self._directory.log_file)
            self._tell(
                "Training was interrupted",
                describe_interruption(self._directory, self._process, log),
            )
        if self._timer is not None:
            wanted = BATCH_INTERVAL_MS if state in LIVE_STATES else IDLE_INTERVAL_MS
            if self._timer.interval() != wanted:
                self._timer.setInterval(wanted)

    def _check_alive(self) -> None:
        assert self._directory is not None
        for left in [process for process in _left_running if process.poll() is not None]:
            _left_running.remove(left)
        now = time.monotonic()
        if now - self._alive_checked < _LIVENESS_INTERVAL_S:
            return
        self._alive_checked = now
        ours = self._process is not None and self._process.poll() is None
        self._alive = ours or self._directory.worker_alive()

    def _vanished(self) -> None:
        assert self._directory is not None
        if self._process is not None:
            self._process.poll()
        self._set_state("failed")
        self._tell(
            "The folder of this run is gone",
            f"{self._directory.path} was deleted or moved, and its checkpoints with it. Train "
            "again, or put the folder back; a worker that still runs stops at its next checkpoint.",
        )

    def _set_state(self, state: RunState) -> None:
        if state != self._state:
            self._state = state
            self.state_changed.emit(state)

    # Orders

    def _send(self, order: Send) -> None:
        if self._directory is None:
            raise RuntimeError("There is no run to talk to.")
        if not (self._alive or self._directory.worker_alive()):
            raise RuntimeError("No worker is on this run any more: resume it first.")
        self._directory.send(order.command, order.prompt)

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            return
        if self._directory is None or not self._directory.worker_alive():
            return
        values = read_json(self._directory.worker_file)
        process = psutil.Process(int(values["pid"]))
        started = values.get("started")
        if isinstance(started, (int, float)) and abs(process.create_time() - started) > 60:
            raise RuntimeError("Its process id belongs to another program now: nothing was ended.")
        process.kill()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        if self._process is not None and self._process.poll() is None:
            _left_running.append(self._process)
        self._process = None
        self.closed.emit()
        QThread.currentThread().quit()
