"""Work that would make the window wait: one call in a thread, or one child process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QObject,
    QProcess,
    QProcessEnvironment,
    QRunnable,
    QThreadPool,
    Signal,
    SignalInstance,
)

from engine.launch import worker_environment
from trickster_gui.bridge.wording import describe

OnDone = Callable[[Any], None]
OnError = Callable[[str], None]
OnProgress = Callable[[Any], None]
_STOP_MS = 3_000
_THREADS = 3  # an environment that is made holds one for minutes, tools that hang another


class Task(QObject):
    """One piece of background work. ``done`` carries its result, ``failed`` a sentence.

    Exactly one of them is emitted, in the window's thread, unless the task is cancelled first.
    ``progressed`` carries what the work reports until then.
    """

    progressed = Signal(object)
    done = Signal(object)
    failed = Signal(str)
    ended = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.cancelled = False
        self._over = False

    def cancel(self) -> None:
        """Nothing more will be heard of this task; what can be stopped is stopped."""
        if not self._over:
            self.cancelled = self._over = True
            self.ended.emit()

    def _finish(self, signal: SignalInstance, value: object) -> None:
        if not self._over:
            self._over = True
            signal.emit(value)
            self.ended.emit()

    def progress(self, report: object) -> None:
        """The work has come so far."""
        if not self._over:
            self.progressed.emit(report)

    def succeed(self, result: object) -> None:
        """The work is done."""
        self._finish(self.done, result)

    def fail(self, message: str) -> None:
        """The work could not be done."""
        self._finish(self.failed, message)


class _Relay(QObject):
    """Carries what comes of a call from the pool's thread to the window's."""

    progressed = Signal(object)
    done = Signal(object)
    failed = Signal(str)


class _Call(QRunnable):
    """One call in a thread of the pool."""

    def __init__(self, call: Callable[[OnProgress], object], task: Task) -> None:
        super().__init__()
        self._call, self._task = call, task
        self._relay = _Relay()
        self._relay.progressed.connect(task.progress)
        self._relay.done.connect(task.succeed)
        self._relay.failed.connect(task.fail)

    def run(self) -> None:
        if self._task.cancelled:
            return
        try:
            result = self._call(self._relay.progressed.emit)
        except Exception as error:  # the last line of defence: it becomes a message
            self._relay.failed.emit(describe(error))
        else:
            self._relay.done.emit(result)


class Background(QObject):
    """Starts background work and knows all that is under way."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(_THREADS)
        self._tasks: set[Task] = set()
        self._calls: dict[Task, _Call] = {}

    def call(self, call: Callable[[], object], on_done: OnDone, on_error: OnError) -> Task:
        """Run ``call`` in a thread; it must touch no widget."""
        return self.reporting_call(lambda report: call(), lambda report: None, on_done, on_error)

    def reporting_call(
        self, call: Callable[[OnProgress], object], on_progress: OnProgress, on_done: OnDone,
        on_error: OnError,
    ) -> Task:  # fmt: skip
        """Run ``call`` in a thread; what it hands to its argument goes to ``on_progress``."""
        task = self._new_task(on_done, on_error)
        task.progressed.connect(on_progress)
        if self._pool.activeThreadCount() == 0:  # no thread is inside any of them any more
            self._calls.clear()
        job = _Call(call, task)
        job.setAutoDelete(False)
        self._calls[task] = job
        self._pool.start(job)
        return task

    def child(
        self,
        python: Path,
        arguments: Sequence[str],
        on_line: Callable[[str], None],
        on_done: OnDone,
        on_error: OnError,
    ) -> Task:
        """Run ``python`` with ``arguments``; its lines go to ``on_line``, all of its standard
        output to ``on_done``. Cancelling kills it."""
        task = self._new_task(on_done, on_error)
        _Child(task, python, arguments, on_line)
        return task

    def _new_task(self, on_done: OnDone, on_error: OnError) -> Task:
        task = Task(self)
        self._tasks.add(task)
        task.done.connect(on_done)
        task.failed.connect(on_error)
        task.ended.connect(self._forget_ended)
        return task

    def _forget_ended(self) -> None:
        self._tasks = {task for task in self._tasks if not task._over}
        for task in [child for child in self.children() if isinstance(child, Task)]:
            if task._over and task not in self._calls:
                task.deleteLater()

    def shutdown(self) -> None:
        """Cancel everything; returns when no thread and no child is left."""
        for task in list(self._tasks):
            task.cancel()
        self._pool.clear()
        self._pool.waitForDone()
        self._calls.clear()


class _Child(QObject):
    """One child process; belongs to its task."""

    def __init__(
        self, task: Task, python: Path, arguments: Sequence[str], on_line: Callable[[str], None]
    ) -> None:
        super().__init__(task)
        self._task, self._on_line = task, on_line
        self._python = python
        self._output = ""
        self._process = QProcess(self)
        # A worker's, so that what is measured here holds for workers.
        environment = QProcessEnvironment()
        for name, value in worker_environment().items():
            environment.insert(name, value)
        self._process.setProcessEnvironment(environment)
        self._process.readyReadStandardOutput.connect(self._read)
        self._process.finished.connect(self._finished)
        self._process.errorOccurred.connect(self._error)
        task.ended.connect(self._end)
        self._process.start(str(python), list(arguments))

    def _read(self) -> None:
        text = bytes(self._process.readAllStandardOutput().data()).decode("utf-8", "replace")
        before = self._output.rpartition("\n")[2]
        self._output = (self._output + text)[-1_000_000:]
        for line in (before + text).split("\n")[:-1]:
            if not self._task.cancelled:
                self._on_line(line)

    def _finished(self, status: int, how: QProcess.ExitStatus) -> None:
        self._read()
        if how == QProcess.ExitStatus.NormalExit and status == 0:
            self._task.succeed(self._output)
            return
        said = bytes(self._process.readAllStandardError().data()).decode("utf-8", "replace")
        last = said.strip().splitlines()[-1:] or [f"it ended with status {status}"]
        self._task.fail(f"{self._python.name} could not do it: {last[0][:400]}")

    def _error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._task.fail(
                f"{self._python} could not be started: check that it is a Python interpreter and "
                "that you may run it."
            )

    def _end(self) -> None:
        if self._process.state() != QProcess.ProcessState.NotRunning:
            self._process.kill()
            self._process.waitForFinished(_STOP_MS)
