"""Which tokenizer a vocabulary gets, and what it takes to make one."""

from __future__ import annotations

import pytest

from engine.data.tokenizers import KINDS, needs_whole_text, resolve_kind, train_tokenizer
from engine.parameter import SpecError

TEXT = "one fish two fish red fish blue fish\n" * 5


@pytest.mark.parametrize(
    ("vocab_size", "kind"),
    [(2, "character"), (255, "character"), (256, "byte"), (511, "byte"), (512, "bpe"),
     (50_257, "bpe")],
)  # fmt: skip
def test_automatic_goes_by_the_vocabulary(vocab_size: int, kind: str) -> None:
    assert resolve_kind("auto", vocab_size) == kind
    assert train_tokenizer("auto", TEXT, vocab_size).kind == kind if vocab_size > 2 else True


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_is_asked_for_is_made(kind: str) -> None:
    tokenizer = train_tokenizer(kind, TEXT, 300)
    assert resolve_kind(kind, 2) == tokenizer.kind == kind
    assert tokenizer.vocab_size <= 300
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


def test_an_unknown_kind_is_refused_with_a_fix() -> None:
    with pytest.raises(SpecError, match="not one of: auto, character") as caught:
        resolve_kind("sentencepiece", 100)
    assert caught.value.field == "tokenizer"
    assert caught.value.fix == {"tokenizer": "auto"}


def test_more_characters_than_vocabulary_is_refused_with_a_fix() -> None:
    count = len(set(TEXT))
    assert train_tokenizer("character", TEXT, count).vocab_size == count
    with pytest.raises(SpecError, match=f"the text has {count} different characters") as caught:
        train_tokenizer("character", TEXT, count - 1)
    assert caught.value.fix == {"vocab_size": count}
    assert train_tokenizer("character", TEXT, int(str(caught.value.fix["vocab_size"])))


@pytest.mark.parametrize(("kind", "least"), [("byte", 256), ("bpe", 257), ("word", 2)])
def test_too_small_a_vocabulary_is_refused_with_a_fix(kind: str, least: int) -> None:
    with pytest.raises(SpecError, match=f"at least {least}") as caught:
        train_tokenizer(kind, TEXT, least - 1)
    assert caught.value.field == "vocab_size"
    assert caught.value.fix == {"vocab_size": least}
    assert train_tokenizer(kind, TEXT, least).vocab_size <= least


def test_only_an_alphabet_needs_the_measured_part() -> None:
    assert [kind for kind in KINDS if needs_whole_text(kind)] == ["character"]
