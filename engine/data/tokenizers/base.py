"""What every tokenizer can do."""

from __future__ import annotations

import codecs
import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Union

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[Any]
"""Ids of ``id_type(vocab_size)``."""
IdSequence = Union[Iterable[int], "npt.NDArray[Any]"]
Progress = Callable[[int, int], None]
"""Called with (done_characters, total_characters)."""

FORMAT = "trickster-tokenizer"
VERSION = 1
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def id_type(vocab_size: int) -> type[np.uint16] | type[np.int32]:
    """The type that ids of a vocabulary are kept in: 2 bytes each where they fit, else 4."""
    return np.uint16 if vocab_size <= 1 << 16 else np.int32


class Tokenizer(ABC):
    """Text to ids (one-dimensional arrays of ``id_type(vocab_size)``) and back.

    ``encode`` raises TokenizerError for what it can't encode; ``decode`` never raises.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """How many tokens there are. A model may have more rows; those are never learned."""

    @abstractmethod
    def encode(self, text: str, *, progress: Progress | None = None) -> Ids:
        """The ids of ``text``; TokenizerError names the first character that has none.

        What ``progress`` raises ends the encoding and reaches the caller.
        """

    @abstractmethod
    def encode_prompt(self, text: str) -> tuple[Ids, tuple[str, ...]]:
        """Ids of what can be encoded, and the different characters that were left out for it."""

    @abstractmethod
    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 (perhaps part of a character) that a token stands for, 0 ≤ id < vocab_size."""

    @abstractmethod
    def _payload(self) -> Mapping[str, object]:
        """What is saved beside the kind."""

    def decode(self, ids: IdSequence) -> str:
        """The text of ``ids``. Ids that are no tokens and broken UTF-8 become U+FFFD."""
        table = self._decoding_table
        beyond = len(table) - 1
        if isinstance(ids, np.ndarray):
            places = np.where((ids >= 0) & (ids < beyond), ids, beyond).tolist()
        else:
            places = [token_id if 0 <= token_id < beyond else beyond for token_id in ids]
        return b"".join(map(table.__getitem__, places)).decode("utf-8", "replace")

    def decode_stream(self) -> DecodeStream:
        """A decoder for ids that arrive one by one."""
        return DecodeStream(self)

    def tokens(self, text: str) -> list[tuple[str, int]]:
        """The tokens of ``text`` as (what is shown, id); characters without an id are left out."""
        ids, _ = self.encode_prompt(text)
        return [(self.token_text(token_id), token_id) for token_id in ids.tolist()]

    def token_text(self, token_id: int) -> str:
        """A token as it is shown. Bytes that make no whole character appear as ``<0xE2>``."""
        if not 0 <= token_id < self.vocab_size:
            return REPLACEMENT
        return self.token_bytes(token_id).decode("utf-8", "trickster_show_bytes")

    def to_json(self) -> str:
        """All that is needed to make this tokenizer again."""
        head = {"format": FORMAT, "version": VERSION, "kind": self.kind}
        return json.dumps({**head, **self._payload()}, ensure_ascii=True)

    def save(self, path: Path | str) -> None:
        """Write ``to_json`` to ``path``, whole or not at all. Raises OSError."""
        path = Path(path)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        part = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(self.to_json())
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    @cached_property
    def _decoding_table(self) -> list[bytes]:
        """The bytes of every token and, last, what stands for ids that are no tokens."""
        return [*map(self.token_bytes, range(self.vocab_size)), REPLACEMENT.encode()]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.kind, self.vocab_size))


class DecodeStream:
    """Decodes ids one at a time, holding back a character until all its bytes have come."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """The text that ``token_id`` completes; may be empty."""
        table = self._tokenizer._decoding_table
        beyond = len(table) - 1
        return self._decoder.decode(table[token_id if 0 <= token_id < beyond else beyond])

    def finish(self) -> str:
        """What an unfinished character at the end leaves: U+FFFD, or nothing."""
        return self._decoder.decode(b"", final=True)


def _show_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    broken = error.object[error.start : error.end]
    return "".join(f"<0x{byte:02X}>" for byte in broken), error.end


codecs.register_error("trickster_show_bytes", _show_bytes)
