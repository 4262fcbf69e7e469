"""What a test left behind: threads, processes, running QThreads, files."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

GRACE_S = 5.0


@dataclass(frozen=True)
class Surroundings:
    """Threads and child processes that exist at one moment."""

    threads: frozenset[threading.Thread] = field(default_factory=frozenset)
    children: frozenset[int] = field(default_factory=frozenset)

    @classmethod
    def now(cls) -> Surroundings:
        return cls(
            frozenset(threading.enumerate()),
            frozenset(process.pid for process in _children()),
        )


def _has_children() -> bool:
    """Whether this process has any child. The kernel's own list, where there is one, is fast."""
    try:
        return any(
            (task / "children").read_text().strip() for task in Path("/proc/self/task").iterdir()
        )
    except OSError:
        return True


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True) if _has_children() else []


def running_qthreads() -> list[str]:
    """The class names of all QThreads that run now, but for the main one."""
    if "PySide6.QtCore" not in sys.modules:
        return []
    from PySide6.QtCore import QCoreApplication, QThread
    from shiboken6 import Shiboken

    app = QCoreApplication.instance()
    main = app.thread() if app is not None else None
    return [
        f"{type(thread).__name__} {thread.objectName()}".strip()
        for thread in Shiboken.getAllValidWrappers()
        if isinstance(thread, QThread) and thread is not main and thread.isRunning()
    ]


def left_behind(before: Surroundings, grace_s: float = GRACE_S) -> list[str]:
    """A line for each thread, process and QThread that came after `before` and is still there.

    Whatever is ending gets `grace_s` seconds to end. Processes found here are killed, so that
    the next test starts clean.
    """
    deadline = time.monotonic() + grace_s
    lines = []
    for thread in set(threading.enumerate()) - before.threads:
        if isinstance(thread, threading._DummyThread):
            continue  # a QThread that ran Python code: Python may list it for ever; see below
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive() and thread in threading.enumerate():
            lines.append(f"thread {thread.name}")
    while running_qthreads() and time.monotonic() < deadline:
        time.sleep(0.01)
    lines += [f"running QThread {name}" for name in running_qthreads()]
    lines += _processes_left(before, deadline)
    return lines


def _processes_left(before: Surroundings, deadline: float) -> list[str]:
    new = [process for process in _children() if process.pid not in before.children]
    _, alive = psutil.wait_procs(new, timeout=max(0.0, deadline - time.monotonic()))
    lines = [f"process {process.pid}: {_command_line(process)}" for process in alive]
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=GRACE_S)
    return lines


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return process.name()


def orphans(variable: str, folder: Path) -> list[psutil.Process]:
    """Processes of this user, this one apart, whose environment `variable` lies below `folder`.

    A process that cut itself loose is nobody's child any more; its environment still tells.
    """
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            value = process.environ().get(variable, "")
        except (psutil.Error, OSError):
            continue
        if value and Path(value).is_relative_to(folder):
            found.append(process)
    return found
