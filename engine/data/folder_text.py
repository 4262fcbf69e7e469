"""All text files of a folder as one text, in the order of their names."""

from __future__ import annotations

import hashlib
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.data.errors import CorpusCancelledError, CorpusError
from engine.data.text_files import (
    MAX_TEXT_BYTES,
    Cancelled,
    DecodedText,
    Progress,
    read_text_file,
    shown,
)

MAX_FILES = 20_000
# Files that are looked at, text or not: keeps a folder such as / from being walked for hours.
MAX_ENTRIES = 200_000


@dataclass(frozen=True)
class FolderText:
    """The joined text, the number of files in it, and how many were skipped for which reason."""

    folder: Path
    decoded: DecodedText = field(repr=False)
    num_files: int
    skipped: dict[str, int]

    def summary(self) -> str:
        """One line, e.g. ``12 text files of /x; skipped 2 hidden, 1 empty``."""
        files = "1 text file" if self.num_files == 1 else f"{self.num_files:,} text files"
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.skipped.items())
        return f"{files} of {shown(self.folder)}" + (f"; skipped {reasons}" if reasons else "")


def read_text_folder(
    folder: Path,
    *,
    max_bytes: int = MAX_TEXT_BYTES,
    max_files: int = MAX_FILES,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> FolderText:
    """Join all UTF-8 text files below ``folder``; each ends its last line.

    Hidden files and folders are skipped, and so is what is not text or can't be read. Links to
    files are followed, links to folders (which may run in circles or lead anywhere) are not.
    Raises CorpusError where more than ``max_files`` text files or more than ``max_bytes`` bytes
    would come together.
    """
    skipped: Counter[str] = Counter()
    paths = list(_files_below(folder, skipped, cancelled))
    total_bytes = sum(size_bytes for _, size_bytes in paths)
    pieces: list[str] = []
    digest, size_bytes, seen_bytes, num_files = hashlib.sha256(), 0, 0, 0
    for path, listed_bytes in paths:
        _stop_if(cancelled, folder)
        seen_bytes += listed_bytes
        text = _text_of(path, listed_bytes, max_bytes, skipped)
        if progress is not None:
            progress(seen_bytes, total_bytes)
        if not text:
            continue
        utf8 = text.encode("utf-8")
        num_files += 1
        size_bytes += len(utf8)
        if num_files > max_files or size_bytes > max_bytes:
            raise CorpusError(
                f"{shown(folder)} holds more than {max_files:,} text files or {max_bytes:,} bytes "
                "of text; choose a folder inside it"
            )
        digest.update(utf8)
        pieces.append(text)
    if not pieces:
        raise CorpusError(f"{shown(folder)} holds no UTF-8 text files; choose another folder")
    decoded = DecodedText("".join(pieces), digest.hexdigest(), size_bytes)
    return FolderText(folder, decoded, num_files, dict(skipped))


def _stop_if(cancelled: Cancelled | None, folder: Path) -> None:
    if cancelled is not None and cancelled():
        raise CorpusCancelledError(f"reading {shown(folder)} was cancelled")


def _text_of(path: Path, size_bytes: int, max_bytes: int, skipped: Counter[str]) -> str:
    """The file's text with its last line ended; empty where it is skipped."""
    if size_bytes > max_bytes:
        skipped["too large"] += 1
        return ""
    try:
        text = read_text_file(path, max_bytes=max_bytes).text
    except CorpusError:
        skipped["not readable as UTF-8 text"] += 1
        return ""
    if not text:
        skipped["empty"] += 1
        return ""
    return text if text.endswith("\n") else text + "\n"


def _files_below(
    folder: Path, skipped: Counter[str], cancelled: Cancelled | None
) -> Iterator[tuple[Path, int]]:
    """Ordinary files with their size, depth first, each folder's entries sorted by name."""
    waiting = [folder]
    looked_at = 0
    while waiting:
        _stop_if(cancelled, folder)
        path = waiting.pop()
        looked_at += 1
        if looked_at > MAX_ENTRIES:
            raise CorpusError(
                f"{shown(folder)} holds more than {MAX_ENTRIES:,} files; choose a folder inside it"
            )
        try:
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                yield path, status.st_size
            elif not stat.S_ISDIR(status.st_mode):
                skipped["no ordinary file"] += 1
            elif path != folder and path.is_symlink():
                skipped["link to a folder"] += 1
            else:
                waiting.extend(_visible_entries(path, skipped))
        except OSError:
            skipped["unreadable"] += 1


def _visible_entries(folder: Path, skipped: Counter[str]) -> list[Path]:
    """Entries that are not hidden, last name first (they are taken from the end)."""
    entries = list(folder.iterdir())
    visible = [path for path in entries if not path.name.startswith(".")]
    if len(visible) < len(entries):
        skipped["hidden"] += len(entries) - len(visible)
    return sorted(visible, key=lambda path: path.name, reverse=True)
