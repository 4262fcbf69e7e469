"""What a text is made of: counts that are shown before anything is learned from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.data.characters import character_counts
from engine.data.corpora import Corpus

_SHOWN_CHARACTERS = 20
_PREVIEW_CHARACTERS = 600


@dataclass(frozen=True)
class CorpusStatistics:
    """Exact counts of one text. ``most_frequent``: (character, occurrences), the commonest first.

    ``alphabet``: all different characters in the order of their code points. ``lines`` counts a
    last line without a line end too.
    """

    characters: int
    size_bytes: int
    lines: int
    alphabet: str
    most_frequent: tuple[tuple[str, int], ...]
    preview: str

    @property
    def distinct_characters(self) -> int:
        return len(self.alphabet)


def corpus_statistics(corpus: Corpus) -> CorpusStatistics:
    """Count the characters of ``corpus`` (about a second for each 100 million)."""
    text = corpus.text
    codes, counts = character_counts(text)
    commonest = np.argsort(-counts, kind="stable")[:_SHOWN_CHARACTERS]
    return CorpusStatistics(
        characters=len(text),
        size_bytes=corpus.size_bytes,
        lines=text.count("\n") + (not text.endswith("\n")),
        alphabet="".join(map(chr, codes.tolist())),
        most_frequent=tuple((chr(int(codes[i])), int(counts[i])) for i in commonest),
        preview=text[:_PREVIEW_CHARACTERS],
    )
