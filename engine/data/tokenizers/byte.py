"""One token for each byte of UTF-8: 256 ids, and no text that they can't write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from engine.data.characters import CHUNK_CHARACTERS
from engine.data.errors import TokenizerError
from engine.data.tokenizers.base import Ids, Progress, Tokenizer

BYTE_VALUES = 256


class ByteTokenizer(Tokenizer):
    """Ids are the values of the bytes."""

    kind = "byte"

    @property
    def vocab_size(self) -> int:
        return BYTE_VALUES

    def encode(self, text: str, *, progress: Progress | None = None) -> Ids:
        pieces = [np.empty(0, dtype=np.uint8)]
        done = 0
        for chunk in utf8_chunks(text):
            pieces.append(np.frombuffer(chunk, dtype=np.uint8))
            done = min(done + CHUNK_CHARACTERS, len(text))
            if progress is not None:
                progress(done, len(text))
        return np.concatenate(pieces, dtype=np.uint16)

    def encode_prompt(self, text: str) -> tuple[Ids, tuple[str, ...]]:
        clean, left_out = without_surrogates(text)
        return self.encode(clean), left_out

    def token_bytes(self, token_id: int) -> bytes:
        return bytes((token_id,))

    def _payload(self) -> Mapping[str, object]:
        return {}


def utf8_chunks(text: str) -> Iterator[bytes]:
    """``text`` in UTF-8, ``CHUNK_CHARACTERS`` at a time.

    Raises TokenizerError for half of a UTF-16 pair, the one thing that UTF-8 can't write.
    """
    for start in range(0, len(text), CHUNK_CHARACTERS):
        try:
            yield text[start : start + CHUNK_CHARACTERS].encode()
        except UnicodeEncodeError as error:
            at = start + error.start
            raise TokenizerError(
                f"U+{ord(text[at]):04X} at position {at:,} is half of a character; remove it"
            ) from None


def refuse_surrogates(text: str) -> None:
    """Raise TokenizerError for text that UTF-8 can't write."""
    if not text.isascii():
        for _ in utf8_chunks(text):
            pass


def without_surrogates(text: str) -> tuple[str, tuple[str, ...]]:
    """``text`` without lone surrogates, and which there were."""
    if text.isascii():
        return text, ()
    left_out = dict.fromkeys(char for char in text if "\ud800" <= char <= "\udfff")
    return "".join(char for char in text if char not in left_out), tuple(left_out)
