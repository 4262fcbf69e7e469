"""Subwords by byte-level byte pair encoding (Sennrich et al. 2016; bytes as in GPT-2).

Every byte is a token; each merge makes one more token of two that stood side by side. The
library ``tokenizers`` finds the merges and applies them; ids are this module's own: byte b has
id b, and new tokens count on from 256 in the order of their merges.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from engine.data.errors import TokenizerError
from engine.data.tokenizers.base import Ids, Progress, Tokenizer, id_type
from engine.data.tokenizers.byte import BYTE_VALUES, refuse_surrogates, without_surrogates
from engine.data.tokenizers.words import encode_by_words, spans, split_subwords

MAX_MERGES = 1 << 20
MAX_TOKEN_BYTES = 1024
MAX_VOCABULARY_BYTES = 64 << 20
# A longer text teaches hardly better merges: evenly spread pieces of it are used.
MAX_TRAINING_CHARACTERS = 50_000_000
_LONGEST_LEARNED_BYTES = 64


class BytePairTokenizer(Tokenizer):
    """Encodes any text; ``merges`` are pairs of ids, in the order they are applied."""

    kind = "bpe"

    def __init__(self, merges: Sequence[tuple[int, int]]) -> None:
        """Raises TokenizerError where ``merges`` don't follow from one another."""
        self.merges = tuple(merges)
        self._tokens = _tokens_of(self.merges)
        self._library: Any = None

    @property
    def vocab_size(self) -> int:
        return len(self._tokens)

    def encode(self, text: str, *, progress: Progress | None = None) -> Ids:
        refuse_surrogates(text)
        dtype = id_type(self.vocab_size)
        return encode_by_words(text, split_subwords, self._encode_words, dtype, progress)

    def encode_prompt(self, text: str) -> tuple[Ids, tuple[str, ...]]:
        clean, left_out = without_surrogates(text)
        return self.encode(clean), left_out

    def token_bytes(self, token_id: int) -> bytes:
        return self._tokens[token_id]

    def to_hugging_face(self) -> str:
        """The same tokenizer as a ``tokenizer.json`` of the library ``tokenizers``."""
        from tokenizers import decoders, pre_tokenizers

        library = _library_tokenizer(self._tokens, self.merges)
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        library.decoder = decoders.ByteLevel()
        return str(library.to_str(pretty=True))

    def _encode_words(self, words: list[str]) -> list[list[int]]:
        if self._library is None:
            self._library = _library_tokenizer(self._tokens, self.merges)
        return [encoding.ids for encoding in self._library.encode_batch(words)]

    def _payload(self) -> Mapping[str, object]:
        return {"merges": [list(pair) for pair in self.merges]}


def _tokens_of(merges: Sequence[tuple[int, int]]) -> list[bytes]:
    """The bytes of every token. A merge may make a token that another merge made before."""
    if len(merges) > MAX_MERGES:
        raise TokenizerError(f"more than {MAX_MERGES:,} merges")
    tokens = [bytes((value,)) for value in range(BYTE_VALUES)]
    known = set(tokens)
    total_bytes = 0
    if len(set(merges)) < len(merges):
        raise TokenizerError("two merges join the same tokens")
    for left, right in merges:
        if not (0 <= left < len(tokens) and 0 <= right < len(tokens)):
            raise TokenizerError(f"a merge joins token {left} or {right} before it exists")
        token = tokens[left] + tokens[right]
        total_bytes += len(token)
        if len(token) > MAX_TOKEN_BYTES or total_bytes > MAX_VOCABULARY_BYTES:
            raise TokenizerError(f"a merge makes a token of {len(token):,} bytes: too long")
        if token not in known:
            known.add(token)
            tokens.append(token)
    return tokens


def train_bpe(text: str, vocab_size: int, progress: Progress | None = None) -> BytePairTokenizer:
    """Find the merges for at most ``vocab_size`` tokens (at least 257) in ``text``.

    The vocabulary stays smaller where no pair of tokens is left that occurs twice. The same text
    always gives the same merges.
    """
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import models, pre_tokenizers, trainers

    assert vocab_size > BYTE_VALUES
    refuse_surrogates(text)
    library = LibraryTokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[],
        initial_alphabet=list(_byte_characters()),
        max_token_length=_LONGEST_LEARNED_BYTES,
        show_progress=False,
    )
    library.train_from_iterator(_training_pieces(text, progress), trainer)
    tokenizer = BytePairTokenizer(_own_merges(json.loads(library.to_str())["model"]["merges"]))
    assert tokenizer.vocab_size <= vocab_size
    return tokenizer


def _training_pieces(text: str, progress: Progress | None) -> Iterator[str]:
    pieces = list(spans(text))
    stride = -(-len(text) // MAX_TRAINING_CHARACTERS)
    for start, end in pieces[:: max(1, stride)]:
        yield text[start:end]
        if progress is not None:
            progress(end, len(text))


def _own_merges(library_merges: Sequence[Sequence[str] | str]) -> list[tuple[int, int]]:
    """Pairs of our ids, from the library's pairs of strings (in older versions: one string)."""
    values = {char: value for value, char in enumerate(_byte_characters())}
    ids: dict[tuple[int, ...], int] = {(value,): value for value in range(BYTE_VALUES)}
    merges = []
    for merge in library_merges:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        left_values = tuple(values[char] for char in left)
        right_values = tuple(values[char] for char in right)
        merges.append((ids[left_values], ids[right_values]))
        ids.setdefault(left_values + right_values, len(ids))
    return merges


def _library_tokenizer(tokens: Sequence[bytes], merges: Sequence[tuple[int, int]]) -> Any:
    """The library's tokenizer with our ids; it takes each word as a whole."""
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import models, pre_tokenizers

    characters = _byte_characters()
    names = ["".join(characters[value] for value in token) for token in tokens]
    model = models.BPE(
        vocab={name: token_id for token_id, name in enumerate(names)},
        merges=[(names[left], names[right]) for left, right in merges],
    )
    library = LibraryTokenizer(model)
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return library


@lru_cache(maxsize=1)
def _byte_characters() -> tuple[str, ...]:
    """The visible character by which the library writes each byte, as GPT-2 does.

    Bytes that are printable Latin-1 stand for themselves, all others for U+0100 and onward.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(value if value in printable else next(others)) for value in range(BYTE_VALUES))
