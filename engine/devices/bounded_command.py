"""Runs another program that may hang, print without end or die, within limits of time and size."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_ERRORS_BYTES = 64 << 10
_BLOCK_BYTES = 64 << 10
_TICK_S = 0.05
_REAP_S = 1.0

# A process that a driver holds in the kernel does not even die of SIGKILL; nobody waits for it.
_unkillable: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Answer:
    """What a program said, as far as it came.

    ``status`` is its exit status, negative for a signal, None where it was not waited for.
    ``problem`` says in words why its output is not to be trusted as a whole; empty where the
    program ended by itself with status 0.
    """

    status: int | None
    output: bytes
    errors: bytes
    problem: str


@dataclass
class _Heard:
    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)


def run_bounded(
    command: Sequence[str],
    *,
    timeout_s: float,
    limit_bytes: int = 4 << 20,
    stop: Callable[[], bool] = lambda: False,
    environment: Mapping[str, str] | None = None,
    on_output: Callable[[bytes], None] = lambda block: None,
    keep_open: Sequence[int] = (),
) -> Answer:
    """Run ``command`` for at most ``timeout_s`` seconds and ``limit_bytes`` of standard output.

    The program and all that it started are killed when it exceeds either, or as soon as ``stop``
    says so (asked some 20 times a second). ``on_output`` gets its standard output as it comes.
    The file descriptors of ``keep_open`` stay open in the program and in all that it starts: a lock
    on one is held as long as any of them lives. Nothing is raised for a program that misbehaves,
    or that cannot be started at all.
    """
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, cwd="/", env=None if environment is None else dict(environment),
            pass_fds=tuple(keep_open),
        )  # fmt: skip
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Answer(None, b"", b"", f"{name} could not be started: {reason}")
    heard = _Heard()
    try:
        problem = _listen(process, heard, timeout_s, limit_bytes, stop, on_output)
    finally:
        status = _end(process)
    if problem:
        problem = f"{name} {problem}"
    elif status != 0:
        problem = f"{name} {_failure(status, heard)}"
    return Answer(status, bytes(heard.output), bytes(heard.errors), problem)


def _listen(
    process: subprocess.Popen[bytes], heard: _Heard, timeout_s: float, limit_bytes: int,
    stop: Callable[[], bool], on_output: Callable[[bytes], None],
) -> str:  # fmt: skip
    """Read both outputs until the program ends; return why it must be killed, if it must."""
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as ready:
        for stream, into in ((process.stdout, heard.output), (process.stderr, heard.errors)):
            ready.register(stream, selectors.EVENT_READ, into)
        while ready.get_map():
            if stop():
                return "was not waited for"
            left = deadline - time.monotonic()
            if left <= 0:
                return f"did not answer within {timeout_s:g} s"
            ended = process.poll() is not None
            events = ready.select(0 if ended else min(left, _TICK_S))
            if ended and not events:
                return ""  # something that it left behind keeps the pipe open
            for key, _ in events:
                block = os.read(key.fd, _BLOCK_BYTES)
                if not block:
                    ready.unregister(key.fileobj)
                elif key.data is heard.output or len(heard.errors) < _ERRORS_BYTES:
                    key.data.extend(block)
                    if key.data is heard.output:
                        on_output(block)
            if len(heard.output) > limit_bytes:
                return f"printed more than {limit_bytes >> 10} KiB"
    return _wait(process, deadline, timeout_s, stop)


def _wait(
    process: subprocess.Popen[bytes], deadline: float, timeout_s: float, stop: Callable[[], bool]
) -> str:
    """Wait for a program that has closed its outputs already."""
    while process.poll() is None:
        if stop():
            return "was not waited for"
        if time.monotonic() > deadline:
            return f"did not end within {timeout_s:g} s"
        time.sleep(_TICK_S / 10)
    return ""


def _end(process: subprocess.Popen[bytes]) -> int | None:
    """Kill what still runs, close the pipes; return the exit status where there is one."""
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            _unkillable.append(process)
    return process.returncode


def _failure(status: int | None, heard: _Heard) -> str:
    said = bytes(heard.errors or heard.output).decode("utf-8", "replace").strip().splitlines()
    last = "".join(c if c.isprintable() else " " for c in said[-1]).strip() if said else ""
    reason = f": {last[:200]}" if last else ""
    if status is not None and status < 0:
        return f"was ended by signal {-status}{reason}"
    return f"ended with status {status}{reason}"
