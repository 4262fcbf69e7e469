"""Writes a run's events to its directory and shows them to whoever listens."""

from __future__ import annotations

import sys
from collections.abc import Callable

from engine.events import Event
from engine.run_directory import EventWriter, RunDirectory

Listener = Callable[[Event], None]


class Recorder:
    """The one writer of events.jsonl while a worker lives.

    A disk that is full or gone does not end the run: what could not be written is kept and
    tried again with the next event (EventWriter), and log.txt is told once.
    """

    def __init__(self, directory: RunDirectory, listener: Listener | None = None) -> None:
        self._writer = EventWriter(directory.events_file)
        self._listener = listener
        self._complained = False

    def __call__(self, event: Event, *, durable: bool = False) -> None:
        """Record one event; with ``durable`` it has reached the disk on return, if it can."""
        try:
            self._writer.write(event, durable=durable)
            self._complained = False
        except OSError as error:
            if not self._complained:
                print(f"events cannot be written, the run goes on: {error}", file=sys.stderr)
                self._complained = True
        if self._listener is not None:
            self._listener(event)

    def close(self) -> None:
        """Close the file after a last try to write what is still kept."""
        try:
            self._writer.close()
        except OSError as error:
            print(f"the last events could not be written: {error}", file=sys.stderr)
