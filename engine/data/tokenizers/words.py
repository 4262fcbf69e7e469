"""Cutting long texts into words, and encoding each different word only once.

Words repeat: looking up a word that was seen before is far cheaper than encoding it again, and
the ids of a whole text are then gathered by numpy.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.data.tokenizers.base import Ids, Progress

Split = Callable[[str], list[str]]
EncodeWords = Callable[[list[str]], Sequence[Sequence[int]]]

CHUNK_CHARACTERS = 1 << 20
# A text without any space is cut here all the same, so that memory stays bounded.
LONGEST_RUN_CHARACTERS = 1 << 20
_MAX_CACHED_WORDS = 2_000_000
_MAX_CACHED_CHARACTERS = 1 << 26
_AFTER_WORD = re.compile(r"\S(?=[ \n])")

# Unicode's White_Space; Python's \s holds four control characters more.
_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


@lru_cache(maxsize=2)
def _subword_pattern(ascii_only: bool) -> re.Pattern[str]:
    """GPT-2's pattern (contractions, letters, digits, others, spaces), which `re` has no words for.

    ``re`` knows letters and digits only as ``\\w``, so letters are what is left of it without
    decimal digits (``\\d``), the other numbers and the underscore.
    """
    if ascii_only:
        letters, digits, others = "[A-Za-z]+", "[0-9]+", "[^A-Za-z0-9\t-\r ]+"
        space = "[\t-\r ]"
    else:
        numbers = "".join(
            char for char in map(chr, range(0x110000)) if unicodedata.category(char) in ("Nl", "No")
        )
        letters, digits = rf"[^\W\d_{numbers}]+", rf"[\d{numbers}]+"
        others = rf"(?:[^\w{_SPACE}]+|_+)+"
        space = f"[{_SPACE}]"
    return re.compile(
        rf"'(?:s|t|re|ve|m|ll|d)| ?{letters}| ?{digits}| ?{others}"
        rf"|{space}+(?!{_not(space)})|{space}+"
    )


def _not(one_of: str) -> str:
    return "[^" + one_of[1:]


def split_subwords(text: str) -> list[str]:
    """Cut text as GPT-2 does before it looks for subwords; the pieces together are the text."""
    return _subword_pattern(text.isascii()).findall(text)


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Beginnings and ends of pieces of about a million characters, each ending with a word.

    No piece of ``split_subwords`` reaches over such an end, since none continues from a character
    that is no space to one that is. Where a run without spaces is longer than
    ``LONGEST_RUN_CHARACTERS``, it is cut anywhere.
    """
    start = 0
    while start < len(text):
        end = start + CHUNK_CHARACTERS
        if end < len(text):
            last = min(end + LONGEST_RUN_CHARACTERS, len(text))
            found = _AFTER_WORD.search(text, end - 1, last)
            end = found.end() if found else last
        end = min(end, len(text))
        yield start, end
        start = end


def encode_by_words(
    text: str, split: Split, encode_words: EncodeWords, dtype: Any, progress: Progress | None
) -> Ids:
    """Ids of ``text``, where ``encode_words`` gives the ids of each different word of ``split``."""
    table = _WordTable(encode_words, dtype)
    pieces = [np.empty(0, dtype=dtype)]
    for start, end in spans(text):
        pieces.append(table.encode(split(text[start:end])))
        if progress is not None:
            progress(end, len(text))
    return np.concatenate(pieces)


class _WordTable:
    """The ids of all words so far, laid end to end: word w has flat[starts[w]:][:lengths[w]]."""

    def __init__(self, encode_words: EncodeWords, dtype: Any) -> None:
        self._encode_words = encode_words
        self._dtype = dtype
        self._clear()

    def _clear(self) -> None:
        self._rows: dict[str, int] = {}
        self._characters = 0
        self._starts: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._lengths: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._flat: npt.NDArray[Any] = np.empty(0, dtype=self._dtype)

    def encode(self, words: list[str]) -> npt.NDArray[Any]:
        new = list(set(words) - self._rows.keys())
        if len(self._rows) + len(new) > _MAX_CACHED_WORDS or (
            self._characters > _MAX_CACHED_CHARACTERS
        ):
            self._clear()
            new = list(set(words))
        if new:
            self._add(new)
        rows = np.fromiter(map(self._rows.__getitem__, words), dtype=np.int64, count=len(words))
        lengths = self._lengths[rows]
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        shift = np.repeat(self._starts[rows] - (ends - lengths), lengths)
        ids: npt.NDArray[Any] = self._flat[np.arange(total) + shift]
        return ids

    def _add(self, words: list[str]) -> None:
        encoded = self._encode_words(words)
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(words))
        flat = np.fromiter((i for ids in encoded for i in ids), self._dtype, int(lengths.sum()))
        first = len(self._flat) + np.cumsum(lengths) - lengths
        self._rows.update(zip(words, range(len(self._rows), len(self._rows) + len(words))))  # noqa: B905
        self._characters += sum(map(len, words))
        self._starts = np.concatenate([self._starts, first])
        self._lengths = np.concatenate([self._lengths, lengths])
        self._flat = np.concatenate([self._flat, flat])
