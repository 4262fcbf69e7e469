"""Characters of long texts as numpy arrays, a bounded piece at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CHUNK_CHARACTERS = 1 << 22
_CODE_POINTS = 0x110000


def character_counts(text: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Code points that occur in ``text``, ascending, and how often each of them does."""
    totals = np.zeros(128 if text.isascii() else _CODE_POINTS, dtype=np.int64)
    for start in range(0, len(text), CHUNK_CHARACTERS):
        codes = code_points(text[start : start + CHUNK_CHARACTERS])
        counts = np.bincount(codes)
        totals[: len(counts)] += counts
    found = np.flatnonzero(totals)
    return found, totals[found]


def code_points(text: str) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint32]:
    """The code point of each character of ``text``, lone surrogates included."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def utf8_size_bytes(text: str) -> int:
    """Length of ``text`` in UTF-8, without keeping a copy of all of it."""
    if text.isascii():
        return len(text)
    starts = range(0, len(text), CHUNK_CHARACTERS)
    return sum(len(text[at : at + CHUNK_CHARACTERS].encode("utf-8")) for at in starts)
