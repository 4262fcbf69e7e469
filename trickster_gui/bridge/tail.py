"""Follows the record of a run in small portions, whatever happens to the file. No Qt."""

from __future__ import annotations

import os
import time
from pathlib import Path

from engine.events import MAX_LINE_BYTES, Event, parse_line
from engine.run_directory import LineReader

# At least one whole line always fits.
_READ_BYTES = MAX_LINE_BYTES + 2
# Lines parsed in one go (about a millisecond), and the pause after them.
_PORTION = 64
_BREATH_S = 0.000_2


class EventTail:
    """Reads new events; notices that the file has been replaced or cut short."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable = 0
        self._reader = LineReader(path)
        self._pending: list[bytes] = []
        self._next = 0
        self._identity: tuple[int, int] | None = None
        self._size = 0
        self._block_bytes = 0

    def restarted(self) -> bool:
        """Whether this is another file than before, or a shorter one: it is then read anew.

        Raises OSError where the file is there and cannot be looked at.
        """
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        identity = (status.st_dev, status.st_ino)
        another = self._identity not in (None, identity) or status.st_size < self._reader.offset
        self._identity, self._size = identity, status.st_size
        if another:
            self._reader = LineReader(self.path)
            self._pending, self._next, self.unreadable = [], 0, 0
        return another

    def read(self, limit: int, budget_s: float) -> list[Event]:
        """At most ``limit`` new events, stopping after about ``budget_s`` seconds of work."""
        deadline = time.perf_counter() + budget_s
        found: list[Event] = []
        while len(found) < limit and time.perf_counter() < deadline:
            if self._next >= len(self._pending):
                before = self._reader.offset
                self._pending, self._next = self._reader.lines(_READ_BYTES), 0
                self._block_bytes = self._reader.offset - before
                if not self._pending:
                    break
            portion = self._pending[self._next : self._next + min(_PORTION, limit - len(found))]
            self._next += len(portion)
            for line in portion:
                event = parse_line(line)
                if event is not None:
                    found.append(event)
                elif line.strip():
                    self.unreadable += 1
            if len(portion) == _PORTION:
                time.sleep(_BREATH_S)  # hands the interpreter's lock to the window's thread
        return found

    @property
    def caught_up(self) -> bool:
        """Whether all whole lines that were seen have been handed out."""
        return self._next >= len(self._pending) and not self.backlog_bytes

    @property
    def backlog_bytes(self) -> int:
        """Bytes in the file beyond what has been read from it, at the last look."""
        return max(self._size - self._reader.offset, 0)

    def fraction(self) -> float:
        """How much of the file has been handed out, 0 to 1."""
        if self._size == 0:
            return 1.0
        waiting = len(self._pending) - self._next
        unread = waiting / len(self._pending) * self._block_bytes if waiting else 0.0
        return min(max((self._reader.offset - unread) / self._size, 0.0), 1.0)


def last_lines(path: Path, lines: int = 12, limit_bytes: int = 8_192) -> str:
    """The end of a text file; empty where there is none or it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - limit_bytes, 0))
            text = file.read(limit_bytes).decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.strip().splitlines()[-lines:])
