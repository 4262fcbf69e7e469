"""What a person asks of a run while it goes on: commands from the file, and signals."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from engine.run_directory import Request, RequestReader

_LOOK_EVERY_S = 0.2


class Control:
    """Collects requests. Long work asks ``stopping`` now and then; the loop takes ``requests``."""

    def __init__(self, reader: RequestReader | None = None) -> None:
        self._reader = reader
        self._queue: list[Request] = []
        self._stop = False
        self._looked = 0.0

    def stop(self) -> None:
        """Ask the run to end with a checkpoint.

        Safe in a signal handler: it takes no lock, which the code that it interrupts might hold.
        """
        self._stop = True

    def stopping(self) -> bool:
        """Whether the run shall end now. Cheap: the file is looked at a few times a second."""
        now = time.monotonic()
        if not self._stop and now - self._looked > _LOOK_EVERY_S:
            self._look()
        return self._stop

    def requests(self) -> list[Request]:
        """Requests since the last call, in order; a stop is not among them."""
        self._look()
        taken, self._queue = self._queue, []
        return taken

    def wait(self) -> None:
        """Sleep for as long as it takes until the next look."""
        time.sleep(_LOOK_EVERY_S)

    def _look(self) -> None:
        self._looked = time.monotonic()
        if self._reader is None:
            return
        for request in self._reader.read():
            if request.command == "stop":
                self._stop = True
            else:
                self._queue.append(request)


@contextmanager
def obeying_signals(control: Control) -> Iterator[None]:
    """Inside, SIGTERM and SIGINT ask for a stop with a checkpoint; a second SIGINT interrupts.

    Only for a process's main thread. Afterwards the handlers are what they were.
    """

    def ask(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        control.stop()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
