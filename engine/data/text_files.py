"""Reading text that nobody has checked: bounded, UTF-8 or a clear message, one kind of newline.

A byte order mark at the beginning is dropped, and the line ends of Windows (CR LF) and of old
Macs (CR) become LF: a model would otherwise spend itself on learning who saved the file.
"""

from __future__ import annotations

import codecs
import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.data.errors import CorpusCancelledError, CorpusError

Progress = Callable[[int, int], None]
"""Called with (done_bytes, total_bytes)."""
Cancelled = Callable[[], bool]

MAX_TEXT_BYTES = 1 << 30
CHUNK_BYTES = 4 << 20
_UTF8_MARK = codecs.BOM_UTF8
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class DecodedText:
    """Text as it is learned, with the size and SHA-256 of its UTF-8 form."""

    text: str = field(repr=False)
    sha256: str
    size_bytes: int


def decode_chunks(chunks: Iterable[bytes], name: str) -> DecodedText:
    """Decode UTF-8 that arrives in pieces; CorpusError names the first bad byte of ``name``.

    Besides the text itself, memory holds the decoded pieces until they are joined: twice the
    size of the text at most, five times the bytes of the file where a text with characters
    beyond U+FFFF makes Python keep four bytes for each.
    """
    digest = hashlib.sha256()
    pieces: list[str] = []
    size_bytes, unfinished = 0, b""  # the beginning of a character that the next piece ends
    for offset, raw in _without_mark(chunks, name):
        _refuse_zero_bytes(raw, offset, name)
        data = unfinished + raw
        clean = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
        try:
            text, used_bytes = codecs.utf_8_decode(clean, "strict", False)
        except UnicodeDecodeError:
            raise _not_utf8(data, offset - len(unfinished), name) from None
        pieces.append(text)
        digest.update(memoryview(clean)[:used_bytes])
        size_bytes += used_bytes
        unfinished = clean[used_bytes:]
    if unfinished:
        raise CorpusError(f"{name} ends in the middle of a UTF-8 character{_CONVERT}")
    return DecodedText("".join(pieces), digest.hexdigest(), size_bytes)


def _without_mark(chunks: Iterable[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """Pieces with their offset in the file, no byte order mark, none ending between CR and LF."""
    offset, held, first = 0, b"", True
    for chunk in chunks:
        held += chunk
        if first:
            if len(held) < len(_UTF8_MARK):
                continue
            if held.startswith(_UTF16_MARKS):
                raise CorpusError(f"{name} is UTF-16 text{_CONVERT_UTF16}")
            if held.startswith(_UTF8_MARK):
                offset, held = len(_UTF8_MARK), held[len(_UTF8_MARK) :]
            first = False
        ready = held[:-1] if held.endswith(b"\r") else held
        held = held[len(ready) :]
        yield offset, ready
        offset += len(ready)
    if held:
        yield offset, held


_CONVERT = "; save it as UTF-8, e.g. iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"
_CONVERT_UTF16 = "; save it as UTF-8, e.g. iconv -f UTF-16 -t UTF-8 OLD > NEW"
_CHOOSE = ", as in a program, an image or an archive; choose a text file"

# What is looked at around a bad byte to tell a foreign encoding from no text at all.
_WINDOW_BYTES = 2048
# Text of any encoding of eight bits has next to none of these; packed or compiled bytes have 10 %.
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\f\r\x1b"))
_TEXT_CONTROL_SHARE = 0.02
# The Latin letters of UTF-16 have a zero at every other byte.
_UTF16_ZERO_SHARE, _UTF16_LEAST_BYTES = 0.8, 8


def _around(data: bytes, at: int) -> bytes:
    start = max(0, at - _WINDOW_BYTES)
    return data[start - start % 2 : at + _WINDOW_BYTES]


def _is_utf16(sample: bytes) -> bool:
    """Whether zeros stand at every other byte and hardly elsewhere."""
    zeros = sorted(part.count(0) / max(1, len(part)) for part in (sample[::2], sample[1::2]))
    few, many = zeros
    return (
        len(sample) >= _UTF16_LEAST_BYTES
        and many >= _UTF16_ZERO_SHARE
        and few <= _TEXT_CONTROL_SHARE
    )


def _is_binary(sample: bytes) -> bool:
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return controls > _TEXT_CONTROL_SHARE * len(sample)


def _refuse_zero_bytes(raw: bytes, offset: int, name: str) -> None:
    at = raw.find(b"\0")
    if at >= 0:
        zero = f"byte {offset + at:,} is zero"
        if _is_utf16(_around(raw, at)):
            raise CorpusError(f"{name} is not UTF-8 text: {zero}, as in UTF-16{_CONVERT_UTF16}")
        raise CorpusError(f"{name} is not text: {zero}{_CHOOSE}")


def _not_utf8(data: bytes, offset: int, name: str) -> CorpusError:
    """The error for the first bad byte of ``data``, which lies at ``offset`` in its file.

    ``data`` is as it was before newlines changed, so that the position is the file's.
    """
    try:
        codecs.utf_8_decode(data, "strict", False)
    except UnicodeDecodeError as error:
        advice = _CHOOSE if _is_binary(_around(data, error.start)) else _CONVERT
        return CorpusError(
            f"{name} is not UTF-8 text: byte {offset + error.start:,} fits no character{advice}"
        )
    raise AssertionError("newlines have no part in whether bytes are UTF-8")


def shown(path: Path | str) -> str:
    """A path on one printable line, whatever bytes its name is made of."""
    unprintable = "\N{REPLACEMENT CHARACTER}"
    return "".join(char if char.isprintable() else unprintable for char in str(path))


def read_text_file(
    path: Path,
    *,
    max_bytes: int = MAX_TEXT_BYTES,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> DecodedText:
    """The text of one regular file of at most ``max_bytes``. CorpusError says what is wrong."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CorpusError(f"{shown(path)} is no ordinary file; choose a text file or a folder")
        if status.st_size > max_bytes:
            raise CorpusError(
                f"{shown(path)} has {status.st_size:,} bytes, more than the {max_bytes:,} that "
                "are read; choose a part of it"
            )
        chunks = _chunks_of(path, status.st_size, max_bytes, progress, cancelled)
        return decode_chunks(chunks, shown(path))
    except OSError as error:
        raise CorpusError(
            f"{shown(path)} can't be read ({error.strerror or error}); check the file and its "
            "permissions"
        ) from None


def _chunks_of(
    path: Path,
    total_bytes: int,
    max_bytes: int,
    progress: Progress | None,
    cancelled: Cancelled | None,
) -> Iterator[bytes]:
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if cancelled is not None and cancelled():
                raise CorpusCancelledError(f"reading {shown(path)} was cancelled")
            done += len(chunk)
            if done > max_bytes:
                raise CorpusError(f"{shown(path)} grew beyond {max_bytes:,} bytes meanwhile")
            yield chunk
            if progress is not None:
                progress(done, max(done, total_bytes))
