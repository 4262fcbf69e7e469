"""Follows a worker in the foreground: hands its events on, and a person's Ctrl-C to it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from engine.events import Event, Failed, Finished, Started, parse_line
from engine.run_directory import LineReader, RunDirectory, RunDirectoryError
from engine.training.recorder import Listener

_LOG_BYTES, _LOOK_EVERY_S = 64 << 10, 0.2


def follow(
    directory: RunDirectory, process: subprocess.Popen[bytes], offset: int, listener: Listener
) -> Finished | Failed:
    """Hand on what the worker records after ``offset`` bytes until it ends; return how it ended.

    The first Ctrl-C (or SIGTERM) asks it to save and end, a second one ends it at once. Raises
    RunDirectoryError where the worker ended before it had begun, and says no more than its log.
    """
    reader, told = _Reader(directory, offset, listener), False
    try:
        with _signals() as asked:
            while process.poll() is None:
                reader.read()
                if asked.times > 1:
                    raise KeyboardInterrupt
                if asked.times and not told:
                    told = True
                    directory.send("stop")
                time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        process.kill()
        process.wait()
        raise
    except BaseException:  # such as a reader of our output that is gone: save, as nobody watches
        directory.send("stop")
        process.wait()
        raise
    reader.read()
    return reader.end or _without_a_word(directory, process.returncode, reader)


class _Asked:
    """How often a person (or the system) has asked for an end."""

    def __init__(self) -> None:
        self.times = 0

    def ask(self, *_: object) -> None:
        """A signal has come, in the midst of anything: nothing is raised and no lock is taken."""
        self.times += 1


@contextmanager
def _signals() -> Iterator[_Asked]:
    """Inside, SIGINT and SIGTERM are counted. Only for a process's main thread."""
    asked = _Asked()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, asked.ask) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Reader:
    """Reads new events; remembers the last of those that matter."""

    def __init__(self, directory: RunDirectory, offset: int, listener: Listener) -> None:
        self._lines = LineReader(directory.events_file, offset)
        self._listener = listener
        self.started = False
        self.step = 0
        self.end: Finished | Failed | None = None

    def read(self) -> None:
        while lines := self._lines.lines():
            for line in lines:
                event = parse_line(line)
                if event is not None:
                    self._take(event)

    def _take(self, event: Event) -> None:
        self.started = self.started or isinstance(event, Started)
        self.step = int(getattr(event, "step", self.step))
        self.end = event if isinstance(event, (Finished, Failed)) else None
        self._listener(event)


def _without_a_word(directory: RunDirectory, status: int, reader: _Reader) -> Failed:
    """The end of a worker that recorded none, as far as log and exit status tell of it."""
    last = _last_line(directory)
    if not reader.started:
        raise RunDirectoryError(last or f"the worker ended {_how(status)} before it had begun")
    way_on = "resume the run" if directory.checkpoint_steps() else "start the run again"
    said = f"; its log ends: {last}" if last else ""
    return Failed(
        f"the worker ended {_how(status)}{said}",
        f"{directory.log_file} has more; to go on, {way_on}", reader.step,
    )  # fmt: skip


def _how(status: int) -> str:
    if status >= 0:
        return f"with exit status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _last_line(directory: RunDirectory) -> str:
    """The last line of the worker's log that says anything; empty where there is none."""
    try:
        with directory.log_file.open("rb") as file:
            file.seek(max(0, directory.log_file.stat().st_size - _LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
