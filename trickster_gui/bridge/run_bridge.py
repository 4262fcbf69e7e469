"""RunBridge: the window's one door to runs and to everything that takes time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QThread, Signal, Slot

from engine.run_directory import Command
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.bridge.background import Background, OnDone, OnError, OnProgress, Task
from trickster_gui.bridge.follower import RunFollower
from trickster_gui.bridge.launcher import EngineLauncher, Launcher
from trickster_gui.bridge.orders import (
    AS_IT_WAS,
    LIVE_STATES,
    Acknowledge,
    Attach,
    AttachLatest,
    Beginning,
    Close,
    Elsewhere,
    Kill,
    Order,
    Resume,
    RunState,
    Send,
    Start,
    Watched,
)


class _Line(QObject):
    """The connection to one followed run. Once it is cut, nothing of that run gets through."""

    order = Signal(object)
    begin = Signal()

    def __init__(self, bridge: RunBridge, beginning: Beginning, launcher: Launcher) -> None:
        super().__init__(bridge)
        self._bridge: RunBridge | None = bridge
        self.thread_of_run = QThread()
        self.thread_of_run.setObjectName("run follower")
        self._follower = RunFollower(beginning, launcher)
        self._follower.moveToThread(self.thread_of_run)
        self.order.connect(self._follower.obey)
        self.thread_of_run.started.connect(self._follower.begin)
        self._follower.watching.connect(self._watching)
        self._follower.events.connect(self._events)
        self._follower.restarted.connect(self._restarted)
        self._follower.state_changed.connect(self._state)
        self._follower.problem.connect(self._problem)
        self._follower.loading.connect(self._loading)
        self.thread_of_run.start()

    def cut(self) -> None:
        """Let nothing more through and ask the thread to end."""
        self._bridge = None
        self.order.emit(Close())

    @Slot(object)
    def _watching(self, watched: Watched) -> None:
        if self._bridge is not None:
            self._bridge._watch(watched)

    @Slot(tuple)
    def _events(self, batch: tuple[object, ...]) -> None:
        if self._bridge is not None:
            self._bridge.events.emit(batch)
            self.order.emit(Acknowledge())

    @Slot()
    def _restarted(self) -> None:
        if self._bridge is not None:
            self._bridge.restarted.emit()

    @Slot(str)
    def _state(self, state: RunState) -> None:
        if self._bridge is not None:
            self._bridge._set_state(state)

    @Slot(str, str)
    def _problem(self, title: str, text: str) -> None:
        if self._bridge is not None:
            self._bridge.problem.emit(title, text)

    @Slot(float)
    def _loading(self, fraction: float) -> None:
        if self._bridge is not None:
            self._bridge.loading.emit(fraction)


class RunBridge(QObject):
    """Follows at most one run; starts, resumes and commands its worker.

    All methods return at once. A worker never ends because the window does: ``detach`` and
    ``shutdown`` leave it running.

    watching(Watched)       another run is followed from now on: forget the last one
    events(tuple)           new events, in order, at most 20 batches a second
    restarted()             the record is read anew from its beginning: forget its events
    state_changed(str)      a RunState
    problem(str, str)       what happened, and what to do about it
    notice(str)             something worth knowing that needs nothing done
    loading(float)          how much of a long record has been read, 0 to 1
    """

    watching = Signal(object)
    events = Signal(tuple)
    restarted = Signal()
    state_changed = Signal(str)
    problem = Signal(str, str)
    notice = Signal(str)
    loading = Signal(float)

    def __init__(self, parent: QObject | None = None, launcher: Launcher | None = None) -> None:
        super().__init__(parent)
        self._launcher: Launcher = launcher or EngineLauncher()
        self._background = Background(self)
        self._line: _Line | None = None
        self._ending: list[_Line] = []
        self._asked_to_start = False
        self._may_start: Callable[[ModelSpec, RunSpec], bool] = lambda model, run: True
        self.state: RunState = "none"
        self.watched: Watched | None = None

    def set_interpreter(self, interpreter: Path | None) -> None:
        """The Python that workers run under from now on; None: the window's own."""
        self._launcher = EngineLauncher(interpreter)

    def set_guard(self, may_start: Callable[[ModelSpec, RunSpec], bool]) -> None:
        """Ask this before each new run. Where it says no, it has told the person why."""
        self._may_start = may_start

    @property
    def alive(self) -> bool:
        """Whether a worker is (or is being) started, runs, or is paused."""
        return self.state in LIVE_STATES

    # Following a run

    def start(self, model: ModelSpec, run: RunSpec, title: str) -> None:
        """Make a run and start its worker, unless the guard is against it. A worker that is
        followed now goes on unfollowed."""
        if not self._may_start(model, run):
            return
        self._begin(Start(model, run, title), "preparing")

    def attach(self, path: Path) -> None:
        """Follow the run in ``path``, live or ended."""
        self._begin(Attach(Path(path)), None)

    def attach_latest(self) -> None:
        """Follow the run that is live, or else the last one, where there is any."""
        self._begin(AttachLatest(), None)

    def resume(
        self, path: Path, steps: int | None = None, from_step: int | None = None,
        elsewhere: Elsewhere = AS_IT_WAS,
    ) -> None:  # fmt: skip
        """Start a worker on a run that ended; ``steps`` is its new last step. ``from_step`` goes
        back to that checkpoint, and what came after it is abandoned. ``elsewhere`` is the device,
        the precision and the trainer on a card that it goes on with."""
        self._begin(Resume(Path(path), steps, from_step, elsewhere), "preparing")

    def detach(self) -> None:
        """Stop following; the worker goes on."""
        self._cut()
        self._set_state("none")

    def _cut(self) -> None:
        if self._line is not None:
            line, self._line = self._line, None
            line.cut()
            self._ending.append(line)
        self.watched = None
        self._collect()

    def _begin(self, beginning: Beginning, state: RunState | None) -> None:
        self._cut()
        self._asked_to_start = isinstance(beginning, (Start, Resume))
        self._line = _Line(self, beginning, self._launcher)
        self._set_state(state or "none")

    def _collect(self) -> None:
        for line in [line for line in self._ending if line.thread_of_run.isFinished()]:
            self._ending.remove(line)
            line.deleteLater()

    def _watch(self, watched: Watched) -> None:
        self.watched = watched
        self.watching.emit(watched)
        if watched.went_on and not self._asked_to_start:
            self.notice.emit(f"“{watched.title}” went on training while nobody was watching.")

    def _set_state(self, state: RunState) -> None:
        if state != self.state:
            self.state = state
            self.state_changed.emit(state)

    # Commands

    def pause(self) -> None:
        """Ask the worker to save and wait."""
        self._send("pause")

    def resume_now(self) -> None:
        """Ask a paused worker to go on."""
        self._send("resume")

    def stop(self) -> None:
        """Ask the worker to save and end."""
        self._send("stop")

    def save(self) -> None:
        """Ask for a checkpoint."""
        self._send("save")

    def validate(self) -> None:
        """Ask for a validation."""
        self._send("validate")

    def sample(self, prompt: str) -> None:
        """Ask for a text that continues ``prompt``."""
        self._send("sample", prompt)

    def kill(self) -> None:
        """End a worker that answers no more; what came after its last checkpoint is lost."""
        self._order(Kill())

    def _send(self, command: Command, prompt: str = "") -> None:
        self._order(Send(command, prompt))

    def _order(self, order: Order) -> None:
        if self._line is None:
            self.problem.emit("There is no run", "Train a model or open a run first.")
        else:
            self._line.order.emit(order)

    # Everything else that takes time

    def run_in_background(
        self, call: Callable[[], object], on_done: OnDone, on_error: OnError
    ) -> Task:
        """Run ``call`` (which must touch no widget) in a thread; its result goes to ``on_done``,
        a sentence about its error to ``on_error``, both in the window's thread."""
        return self._background.call(call, on_done, on_error)

    def run_reporting(
        self, call: Callable[[OnProgress], object], on_progress: OnProgress, on_done: OnDone,
        on_error: OnError,
    ) -> Task:  # fmt: skip
        """As ``run_in_background``; what ``call`` hands to its argument while it goes on goes to
        ``on_progress``, in the window's thread."""
        return self._background.reporting_call(call, on_progress, on_done, on_error)

    def calibrate(self, on_line: Callable[[str], None], on_done: OnDone, on_error: OnError) -> Task:
        """Measure this machine's speed in a child process (about 12 s)."""
        arguments = ("-m", "engine", "calibrate")
        return self._background.child(self._python(), arguments, on_line, on_done, on_error)

    def check_resume(
        self, path: Path, elsewhere: Elsewhere, steps: int, on_line: Callable[[str], None],
        on_done: OnDone, on_error: OnError,
    ) -> Task:  # fmt: skip
        """Have a child process, which may load torch, say whether the run in ``path`` could go on
        so: ``on_line`` is given the document of ``engine resume --check``, also where it could not
        (and ``on_error`` is called). Takes seconds."""
        told = {
            "steps": str(steps), "device": elsewhere.device, "precision": elsewhere.precision,
            "card-backend": elsewhere.card_backend,
        }  # fmt: skip
        options = [f"--{name}={value}" for name, value in told.items() if value is not None]
        arguments = ("-m", "engine", "resume", str(path), "--check", "--json", *options)
        return self._background.child(self._python(), arguments, on_line, on_done, on_error)

    def _python(self) -> Path:
        """The interpreter of torch's workers."""
        return getattr(self._launcher, "interpreter", None) or Path(sys.executable)

    def shutdown(self) -> None:
        """End all threads and helper processes; workers go on. The last call before closing."""
        self.detach()
        for line in self._ending:
            line.thread_of_run.wait()
        self._collect()
        self._background.shutdown()
