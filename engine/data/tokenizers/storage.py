"""Tokenizers from files: bounded, checked, and never trusted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.data.errors import TokenizerError
from engine.data.text_files import shown
from engine.data.tokenizers.base import FORMAT, VERSION, Tokenizer
from engine.data.tokenizers.bpe import BytePairTokenizer
from engine.data.tokenizers.byte import ByteTokenizer
from engine.data.tokenizers.character import CharacterTokenizer
from engine.data.tokenizers.word import WordTokenizer

MAX_FILE_BYTES = 24 << 20


def load_tokenizer(path: Path | str) -> Tokenizer:
    """The tokenizer that ``save`` wrote to ``path``. TokenizerError says what is wrong with it."""
    path = Path(path)
    name = shown(path)
    try:
        if not path.is_file():  # opening a named pipe would wait for ever
            raise TokenizerError(f"{name} can't be read: there is no such file")
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TokenizerError(f"{name} can't be read ({error.strerror or error})") from None
    if len(raw) > MAX_FILE_BYTES:
        raise TokenizerError(f"{name} has more than {MAX_FILE_BYTES:,} bytes: it is no tokenizer")
    try:
        return tokenizer_from_json(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise TokenizerError(f"{name} is no tokenizer: it is not UTF-8 text") from None
    except TokenizerError as error:
        raise TokenizerError(f"{name}: {error}") from None


def tokenizer_from_json(text: str) -> Tokenizer:
    """The inverse of ``Tokenizer.to_json``; TokenizerError for anything else."""
    if len(text) > MAX_FILE_BYTES:
        raise TokenizerError(f"more than {MAX_FILE_BYTES:,} characters: it is no tokenizer")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise TokenizerError("it is no tokenizer: not JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise TokenizerError("it is no tokenizer of Trickster")
    if document.get("version") != VERSION:
        raise TokenizerError(
            f"it was written in format {str(document.get('version'))[:20]}, this Trickster reads "
            f"{VERSION}; use the newer one"
        )
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in _READERS:
        raise TokenizerError(f"it holds an unknown kind of tokenizer, {str(kind)[:40]!r}")
    return _READERS[kind](document)


def _read_character(document: Mapping[str, Any]) -> Tokenizer:
    alphabet = document.get("alphabet")
    if not isinstance(alphabet, str):
        raise TokenizerError("its alphabet is missing")
    return CharacterTokenizer(alphabet)


def _read_byte(_: Mapping[str, Any]) -> Tokenizer:
    return ByteTokenizer()


def _read_bpe(document: Mapping[str, Any]) -> Tokenizer:
    merges = document.get("merges")
    if not isinstance(merges, list):
        raise TokenizerError("its merges are missing")
    return BytePairTokenizer([_pair(merge) for merge in merges])


def _pair(merge: object) -> tuple[int, int]:
    # bool is an int in Python, but true is no id.
    if isinstance(merge, list) and len(merge) == 2 and all(type(part) is int for part in merge):
        return merge[0], merge[1]
    raise TokenizerError("one of its merges is not a pair of ids")


def _read_word(document: Mapping[str, Any]) -> Tokenizer:
    words = document.get("words")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise TokenizerError("its words are missing")
    return WordTokenizer(words)


_READERS: dict[str, Callable[[Mapping[str, Any]], Tokenizer]] = {
    "character": _read_character,
    "byte": _read_byte,
    "bpe": _read_bpe,
    "word": _read_word,
}
