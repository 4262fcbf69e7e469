"""The text that needs no network: the source of the running Python's own standard library.

What is taken, and why:

* Modules that are one file at the top of the library (``argparse.py``, ``enum.py``, …), about
  4.2 million characters: written by hand by many people, rich in prose as well as in code, and
  small enough for a first minute. Packages stay out: most of their bulk is tests, tables
  (``encodings``, ``pydoc_data``), or a program's user interface (``idlelib``, ``tkinter``).
* Only files that are ASCII throughout (all but about ten), so that the alphabet is printable
  ASCII and a character model needs fewer than 100 symbols.
* Nothing generated or local: no ``_sysconfigdata…``, ``sitecustomize`` or ``usercustomize``.

Files follow one another in the order of their names, so one Python always gives the same text.
"""

from __future__ import annotations

import os
import platform
import sysconfig
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from engine.data.errors import CorpusCancelledError, CorpusError
from engine.data.text_files import Cancelled, DecodedText, Progress, decode_chunks

MAX_LIBRARY_BYTES = 6 << 20
# A library below this has been stripped: a few leftovers would teach a model nothing.
MIN_LIBRARY_BYTES = 500_000
_MAX_MODULE_BYTES = 1 << 20
_LEFT_OUT = ("_sysconfigdata", "sitecustomize", "usercustomize", "__phello__", "__hello__")


def library_description() -> str:
    """Which interpreter the text is from, e.g. ``CPython 3.11.7``."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def library_location() -> Path:
    """The folder, or the zip file, that holds the standard library."""
    folder = Path(sysconfig.get_path("stdlib"))
    if folder.is_dir() and (folder / "os.py").is_file():
        return folder
    holder = Path(os.__file__).parent
    return holder if holder.is_file() else folder


@lru_cache(maxsize=4)
def library_size_bytes(location: Path) -> int:
    """Size of the text in bytes; 0 where the library's sources are not installed."""
    try:
        return sum(len(source) for _, source in _modules(location))
    except (OSError, zipfile.BadZipFile):
        return 0


def read_library(
    location: Path,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> tuple[DecodedText, int]:
    """The text, and how many modules it is made of.

    Raises CorpusError where the interpreter came without its sources, as bundled ones do.
    """
    sources: list[bytes] = []
    done = 0
    try:
        for _, source in _modules(location):
            if cancelled is not None and cancelled():
                raise CorpusCancelledError("reading Python's standard library was cancelled")
            done += len(source)
            sources.append(source)
            if progress is not None:
                progress(done, MAX_LIBRARY_BYTES)
    except (OSError, zipfile.BadZipFile) as error:
        raise _no_sources(location, str(error)) from None
    if done < MIN_LIBRARY_BYTES:
        raise _no_sources(location, f"only {len(sources)} source files found")
    if progress is not None:
        progress(done, done)
    return decode_chunks(sources, "Python's standard library"), len(sources)


def _no_sources(location: Path, reason: str) -> CorpusError:
    return CorpusError(
        f"this Python came without the source of its standard library in {location} ({reason}); "
        "choose tiny-shakespeare, which is downloaded, or a text file of yours"
    )


def _modules(location: Path) -> Iterator[tuple[str, bytes]]:
    """Name and source of each module that is taken, sorted by name; each source ends its line."""
    read = _zip_members if location.is_file() else _folder_files
    room_bytes = MAX_LIBRARY_BYTES
    for name, raw in read(location):
        if not raw.isascii() or b"\0" in raw:
            continue
        source = raw.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"
        room_bytes -= len(source)
        if room_bytes < 0:
            return
        yield name, source


def _is_taken(name: str, size_bytes: int) -> bool:
    return (
        name.endswith(".py")
        and not name.startswith(_LEFT_OUT)
        and 0 < size_bytes <= _MAX_MODULE_BYTES
    )


def _folder_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.is_file() and _is_taken(path.name, path.stat().st_size):
            yield path.name, path.read_bytes()


def _zip_members(archive: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as opened:
        for info in sorted(opened.infolist(), key=lambda info: info.filename):
            if "/" not in info.filename and _is_taken(info.filename, info.file_size):
                yield info.filename, opened.read(info)
