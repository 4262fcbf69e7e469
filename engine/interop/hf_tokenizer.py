"""Our tokenizers as Hugging Face's tokenizer.json: the same ids for the same text."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as LibraryTokenizer

from engine.data.tokenizers.base import REPLACEMENT, Tokenizer
from engine.data.tokenizers.bpe import BytePairTokenizer


def hf_tokenizer(tokenizer: Tokenizer) -> str:
    """The contents of tokenizer.json.

    Like ours, a character tokenizer leaves out characters that it does not know, and a word
    tokenizer has one token for all words that it does not know.
    """
    if isinstance(tokenizer, BytePairTokenizer):
        return tokenizer.to_hugging_face()
    if tokenizer.kind == "byte":
        return BytePairTokenizer([]).to_hugging_face()
    payload = json.loads(tokenizer.to_json())
    character = tokenizer.kind == "character"
    library = _character(payload["alphabet"]) if character else _word(payload["words"])
    library.decoder = decoders.Fuse()
    return str(library.to_str(pretty=True))


def hf_tokenizer_config(max_seq_len: int) -> dict[str, Any]:
    """The contents of tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_seq_len,
    }


def _character(alphabet: str) -> LibraryTokenizer:
    """Byte pairs without any pair: what is left are single characters."""
    vocab = {char: token_id for token_id, char in enumerate(alphabet)}
    return LibraryTokenizer(models.BPE(vocab=vocab, merges=[]))


def _word(words: list[str]) -> LibraryTokenizer:
    vocab = {REPLACEMENT: 0} | {word: place for place, word in enumerate(words, start=1)}
    library = LibraryTokenizer(models.WordLevel(vocab=vocab, unk_token=REPLACEMENT))
    # Python's \w: letters, numbers of all kinds and the underscore.
    pattern = Regex(r" ?[\p{L}\p{N}_]+|[\s\S]")
    library.pre_tokenizer = pre_tokenizers.Split(pattern, behavior="isolated")
    return library
