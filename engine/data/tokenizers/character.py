"""One token for each different character of a text."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from engine.data.characters import CHUNK_CHARACTERS, code_points
from engine.data.errors import TokenizerError
from engine.data.tokenizers.base import Ids, Progress, Tokenizer, id_type

_UNKNOWN = -1


class CharacterTokenizer(Tokenizer):
    """Ids are the places of characters in the sorted alphabet."""

    kind = "character"

    def __init__(self, alphabet: str) -> None:
        """``alphabet``: the known characters, each once, in the order of their code points."""
        if not alphabet:
            raise TokenizerError("an alphabet needs at least one character")
        codes = [ord(char) for char in alphabet]
        if any(later <= earlier for earlier, later in pairwise(codes)):
            raise TokenizerError("the characters of an alphabet must be sorted and different")
        if any(0xD800 <= code < 0xE000 for code in codes):
            raise TokenizerError("the alphabet holds a lone surrogate, which is no character")
        self.alphabet = alphabet
        # The last place stands for all code points beyond the table; ASCII always lies inside.
        size = max(codes[-1], 127) + 2
        self._table: npt.NDArray[np.int32] = np.full(size, _UNKNOWN, dtype=np.int32)
        self._table[codes] = np.arange(len(codes))

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str, *, progress: Progress | None = None) -> Ids:
        ids = np.empty(len(text), dtype=id_type(self.vocab_size))
        for start in range(0, len(text), CHUNK_CHARACTERS):
            chunk = text[start : start + CHUNK_CHARACTERS]
            found = self._look_up(chunk)
            if len(found) and found.min() == _UNKNOWN:
                at = int(np.argmin(found))
                raise _unknown(chunk[at], start + at)
            ids[start : start + len(chunk)] = found
            if progress is not None:
                progress(start + len(chunk), len(text))
        return ids

    def encode_prompt(self, text: str) -> tuple[Ids, tuple[str, ...]]:
        found = self._look_up(text)
        known = found != _UNKNOWN
        left_out = dict.fromkeys(text[at] for at in np.flatnonzero(~known).tolist())
        return found[known].astype(id_type(self.vocab_size)), tuple(left_out)

    def token_bytes(self, token_id: int) -> bytes:
        return self.alphabet[token_id].encode()

    def _look_up(self, text: str) -> npt.NDArray[np.int32]:
        """Ids, with ``_UNKNOWN`` for characters outside the alphabet."""
        codes = code_points(text)
        if codes.dtype == np.uint8:
            return self._table[codes]
        return self._table[np.minimum(codes, len(self._table) - 1)]

    def _payload(self) -> Mapping[str, object]:
        return {"alphabet": self.alphabet}


def _unknown(char: str, at: int) -> TokenizerError:
    shown = f"{char!r} (U+{ord(char):04X})" if char.isprintable() else f"U+{ord(char):04X}"
    return TokenizerError(
        f"the character {shown} at position {at:,} is not in the text that this alphabet is from; "
        "leave it out, or use the byte tokenizer, which knows every character"
    )
