"""How text becomes token ids and back.

``train_tokenizer`` makes one for a text, ``load_tokenizer`` reads one that was saved; all share
the interface ``Tokenizer``. Ids of real tokens are 0 … vocab_size - 1.
"""

from __future__ import annotations

from engine.data.errors import TokenizerError
from engine.data.tokenizers.base import DecodeStream, Tokenizer, id_type
from engine.data.tokenizers.storage import load_tokenizer, tokenizer_from_json
from engine.data.tokenizers.training import (
    KINDS,
    needs_whole_text,
    resolve_kind,
    train_tokenizer,
)

__all__ = [
    "KINDS",
    "DecodeStream",
    "Tokenizer",
    "TokenizerError",
    "id_type",
    "load_tokenizer",
    "needs_whole_text",
    "resolve_kind",
    "tokenizer_from_json",
    "train_tokenizer",
]
