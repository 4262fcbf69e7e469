"""Words: the most frequent ones have ids, all others are unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.tokenizers import TokenizerError
from engine.data.tokenizers.word import WordTokenizer, split_words, train_words


@given(st.text(alphabet=st.sampled_from("ab 1_é漢'-.\n\t\u2003😀")))
def test_all_words_known_means_round_trip(text: str) -> None:
    tokenizer = train_words(text, 10_000)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode_prompt(text)[0].tolist() == ids.tolist()
    assert "".join(split_words(text)) == text


def test_the_commonest_words_are_kept_in_order() -> None:
    tokenizer = train_words("x b a b c b a d a b d", 4)
    assert tokenizer.words == (" b", " a", " d")
    assert tokenizer.vocab_size == 4


def test_hello_world_is_two_tokens_with_the_space_before_the_word() -> None:
    tokenizer = train_words("Hello world", 10)
    assert [text for text, _ in tokenizer.tokens("Hello world")] == ["Hello", " world"]


def test_what_is_unknown_is_lost_or_told() -> None:
    tokenizer = train_words("Hello world", 10)
    assert tokenizer.decode(tokenizer.encode("Hello moon world")) == "Hello\ufffd world"
    ids, left_out = tokenizer.encode_prompt("Hello moon world moon")
    assert tokenizer.decode(ids) == "Hello world"
    assert left_out == (" moon",)


@pytest.mark.parametrize("words", [["a", "a"], [""], ["\udc80"]])
def test_impossible_vocabularies_are_refused(words: list[str]) -> None:
    with pytest.raises(TokenizerError):
        WordTokenizer(words)
