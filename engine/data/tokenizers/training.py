"""Which tokenizer suits a vocabulary, and making it for a text."""

from __future__ import annotations

from engine.data.characters import character_counts
from engine.data.tokenizers.base import Progress, Tokenizer
from engine.data.tokenizers.bpe import train_bpe
from engine.data.tokenizers.byte import BYTE_VALUES, ByteTokenizer
from engine.data.tokenizers.character import CharacterTokenizer
from engine.data.tokenizers.word import train_words
from engine.parameter import SpecError

KINDS = ("character", "byte", "bpe", "word")
AUTO = "auto"
# From here on there is room for subwords beside the 256 bytes.
_SUBWORDS_FROM = 512


def resolve_kind(kind: str, vocab_size: int) -> str:
    """``kind``, or what "auto" means for a vocabulary of this size.

    Below 256 tokens: character; below 512: byte; from there: bpe. SpecError for an unknown kind.
    """
    if kind == AUTO:
        if vocab_size < BYTE_VALUES:
            return "character"
        return "byte" if vocab_size < _SUBWORDS_FROM else "bpe"
    if kind not in KINDS:
        allowed = ", ".join((AUTO, *KINDS))
        raise SpecError("tokenizer", f"{kind[:40]!r} is not one of: {allowed}", {"tokenizer": AUTO})
    return kind


def needs_whole_text(kind: str) -> bool:
    """Whether a tokenizer must see all of a text, the part included that only measures.

    True for characters: an alphabet tells nothing about what comes next, but without a place for
    each character the measured part could not be encoded. Merges and words, which do tell about
    frequencies, are learned from the training part alone.
    """
    return kind == "character"


def train_tokenizer(
    kind: str, text: str, vocab_size: int, progress: Progress | None = None
) -> Tokenizer:
    """Make a tokenizer of at most ``vocab_size`` tokens for ``text``.

    ``kind`` may be "auto". The vocabulary may come out smaller: characters have one token for
    each that occurs, and BPE stops when no pair is left that occurs twice; the rows of a model
    beyond ``Tokenizer.vocab_size`` are then never used. Raises SpecError (field ``vocab_size``)
    where ``vocab_size`` is too small for the kind or the text.
    """
    kind = resolve_kind(kind, vocab_size)
    if kind == "character":
        return _character(text, vocab_size)
    least = {"byte": BYTE_VALUES, "bpe": BYTE_VALUES + 1, "word": 2}[kind]
    if vocab_size < least:
        message = f"the {kind} tokenizer needs a vocabulary of at least {least}, not {vocab_size:,}"
        raise SpecError("vocab_size", message, {"vocab_size": least})
    if kind == "byte":
        return ByteTokenizer()
    return (train_bpe if kind == "bpe" else train_words)(text, vocab_size, progress)


def _character(text: str, vocab_size: int) -> CharacterTokenizer:
    codes, _ = character_counts(text)
    if len(codes) > vocab_size:
        message = (
            f"the text has {len(codes):,} different characters, more than the vocabulary of "
            f"{vocab_size:,}; enlarge it, or use bytes (256) or subwords"
        )
        raise SpecError("vocab_size", message, {"vocab_size": len(codes)})
    return CharacterTokenizer("".join(map(chr, codes.tolist())))
