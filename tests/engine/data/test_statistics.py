"""Counts of a text are exact."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data import characters
from engine.data.characters import character_counts, code_points, utf8_size_bytes
from engine.data.corpora import Corpus
from engine.data.statistics import corpus_statistics


def _corpus(text: str) -> Corpus:
    return Corpus("x", text, "0" * 64, len(text.encode()), "", "")


@given(st.text(min_size=1))
def test_counts_agree_with_counting_one_by_one(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(characters, "CHUNK_CHARACTERS", 3)
        statistics = corpus_statistics(_corpus(text))
        size_bytes = utf8_size_bytes(text)
    counted = Counter(text)
    assert statistics.characters == len(text)
    assert statistics.size_bytes == size_bytes == len(text.encode())
    assert statistics.alphabet == "".join(sorted(counted))
    assert statistics.distinct_characters == len(counted)
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    assert statistics.most_frequent == tuple(ranked[:20])


@pytest.mark.parametrize(("text", "lines"), [("a", 1), ("a\n", 1), ("a\nb", 2), ("\n\n", 2)])
def test_lines(text: str, lines: int) -> None:
    assert corpus_statistics(_corpus(text)).lines == lines


def test_preview_is_the_beginning() -> None:
    text = "".join(map(chr, range(32, 10_000)))
    preview = corpus_statistics(_corpus(text)).preview
    assert text.startswith(preview)
    assert 100 < len(preview) < 2000


def test_lone_surrogates_are_counted_too() -> None:
    codes, counts = character_counts("\udc80a\udc80")
    assert codes.tolist() == [0x61, 0xDC80]
    assert counts.tolist() == [1, 2]
    assert np.array_equal(code_points("\udc80"), [0xDC80])
