"""Characters: one id each, in the order of their code points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.tokenizers import TokenizerError, character
from engine.data.tokenizers.character import CharacterTokenizer

ALPHABETS = st.sets(
    st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40
).map(lambda chars: "".join(sorted(chars)))  # fmt: skip


@given(st.data(), ALPHABETS)
def test_round_trip_over_its_alphabet(data: st.DataObject, alphabet: str) -> None:
    text = data.draw(st.text(alphabet=alphabet))
    tokenizer = CharacterTokenizer(alphabet)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(character, "CHUNK_CHARACTERS", 4)
        ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert ids.dtype == np.uint16
    assert ids.tolist() == [alphabet.index(char) for char in text]
    assert tokenizer.vocab_size == len(alphabet)


@given(ALPHABETS, st.text())
def test_prompts_leave_out_what_is_unknown_and_tell(alphabet: str, text: str) -> None:
    tokenizer = CharacterTokenizer(alphabet)
    ids, left_out = tokenizer.encode_prompt(text)
    assert tokenizer.decode(ids) == "".join(char for char in text if char in alphabet)
    assert left_out == tuple(dict.fromkeys(char for char in text if char not in alphabet))


@pytest.mark.parametrize("alphabet", ["abc", "abcé", "abc漢", "ab\U0010ffff"])
@pytest.mark.parametrize("unknown", ["d", "\x7f", "ü", "字", "😀", "\udc80", "\n"])
def test_an_unknown_character_is_named_with_a_way_out(alphabet: str, unknown: str) -> None:
    text = "abcab"[:2] * 3 + unknown + "a"
    with pytest.raises(TokenizerError) as caught:
        CharacterTokenizer(alphabet).encode(text)
    message = str(caught.value)
    assert f"U+{ord(unknown):04X}" in message
    assert "at position 6 " in message
    assert "byte tokenizer" in message
    assert "\n" not in message
    message.encode()


def test_hello_is_five_tokens() -> None:
    tokens = CharacterTokenizer("Helo").tokens("Hello")
    assert tokens == [("H", 0), ("e", 1), ("l", 2), ("l", 2), ("o", 3)]


def test_large_alphabets_use_wider_ids() -> None:
    codes = [code for code in range(0x20000) if not 0xD800 <= code < 0xE000]
    tokenizer = CharacterTokenizer("".join(map(chr, codes)))
    ids = tokenizer.encode("\U0001ffff")
    assert ids.dtype == np.int32
    assert ids.tolist() == [len(codes) - 1]


@pytest.mark.parametrize("alphabet", ["", "ba", "aa", "a\udc80"])
def test_impossible_alphabets_are_refused(alphabet: str) -> None:
    with pytest.raises(TokenizerError):
        CharacterTokenizer(alphabet)


def test_progress_ends_at_the_length() -> None:
    seen: list[tuple[int, int]] = []
    CharacterTokenizer("a").encode("aaa", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 3)]
