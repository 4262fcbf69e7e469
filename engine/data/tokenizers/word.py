"""One token for each frequent word, with the space before it; everything else is unknown.

The simplest tokenizer that isn't characters, and a lesson in why subwords were invented: words
that are not in the vocabulary are lost, and decoding shows U+FFFD in their place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from engine.data.errors import TokenizerError
from engine.data.tokenizers.base import REPLACEMENT, Ids, Progress, Tokenizer, id_type
from engine.data.tokenizers.byte import refuse_surrogates
from engine.data.tokenizers.words import encode_by_words, spans

UNKNOWN_ID = 0
MAX_WORDS = 1 << 20
_WORD = re.compile(r" ?\w+|\s|[^\w\s]")


class WordTokenizer(Tokenizer):
    """Id 0 stands for all unknown words; the others are the places in ``words``, from 1."""

    kind = "word"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: place for place, word in enumerate(self.words, start=1)}
        if len(self._ids) < len(self.words):
            raise TokenizerError("the vocabulary holds a word twice")
        if len(self.words) > MAX_WORDS:
            raise TokenizerError(f"more than {MAX_WORDS:,} words")
        for word in self.words:
            refuse_surrogates(word)
            if not word:
                raise TokenizerError("the vocabulary holds an empty word")

    @property
    def vocab_size(self) -> int:
        return len(self.words) + 1

    def encode(self, text: str, *, progress: Progress | None = None) -> Ids:
        """The ids of ``text``; words outside the vocabulary become the unknown token."""
        dtype = id_type(self.vocab_size)
        return encode_by_words(text, split_words, self._encode_words, dtype, progress)

    def encode_prompt(self, text: str) -> tuple[Ids, tuple[str, ...]]:
        words = split_words(text)
        ids = [self._ids[word] for word in words if word in self._ids]
        left_out = tuple(dict.fromkeys(word for word in words if word not in self._ids))
        return np.array(ids, dtype=id_type(self.vocab_size)), left_out

    def token_bytes(self, token_id: int) -> bytes:
        return (REPLACEMENT if token_id == UNKNOWN_ID else self.words[token_id - 1]).encode()

    def _encode_words(self, words: list[str]) -> list[tuple[int]]:
        return [(self._ids.get(word, UNKNOWN_ID),) for word in words]

    def _payload(self) -> Mapping[str, object]:
        return {"words": list(self.words)}


def split_words(text: str) -> list[str]:
    """Words with the one space before them, and single characters for all else."""
    return _WORD.findall(text)


def train_words(text: str, vocab_size: int, progress: Progress | None = None) -> WordTokenizer:
    """The ``vocab_size - 1`` most frequent words of ``text``; ties go by the alphabet."""
    assert vocab_size > 1
    refuse_surrogates(text)
    counts: Counter[str] = Counter()
    for start, end in spans(text):
        counts.update(split_words(text[start:end]))
        if progress is not None:
            progress(end, len(text))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return WordTokenizer([word for word, _ in ranked[: vocab_size - 1]])
