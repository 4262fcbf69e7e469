"""Words are cut as GPT-2 cuts them, and long texts are encoded as short ones are."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from engine.data.tokenizers import words as module
from engine.data.tokenizers.words import encode_by_words, spans, split_subwords

# Characters of every class the pattern tells apart, all older than any Unicode table in use.
ALPHABET = (
    "abzAZ09 _'-\t\n\r\x0b\x1c\x7f\x85\xa0éßΩжあ漢²½ⅧᛮⅫ٣०e\u0301\u0903\u200b\u2003\u3000·€😀𝒜𐏑"
)
TEXTS = st.text(alphabet=ALPHABET, max_size=30) | st.lists(
    st.sampled_from(["'s", "'ll", "'t", "'x", "  ", " a", "\n\n", " 1", "__", " -_-"]), max_size=12
).map("".join)


def _kind(char: str) -> str:
    if char in "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" or (
        "\u2000" <= char <= "\u200a"
    ):
        return "space"
    return {"L": "letter", "N": "number"}.get(unicodedata.category(char)[0], "other")


def _cut_one_by_one(text: str) -> list[str]:
    """GPT-2's rule, spelled out character by character."""
    pieces, at = [], 0
    while at < len(text):
        start = at
        short = next((s for s in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
                      if text.startswith(s, at)), "")  # fmt: skip
        if short:
            at += len(short)
        else:
            if text[at] == " " and at + 1 < len(text) and _kind(text[at + 1]) != "space":
                at += 1
            kind = _kind(text[at])
            while at < len(text) and _kind(text[at]) == kind:
                at += 1
            # Of several spaces before a word, the last is left to the word.
            if kind == "space" and at < len(text) and at - start > 1:
                at -= 1
        pieces.append(text[start:at])
    return pieces


@given(TEXTS)
def test_cuts_as_the_rule_says(text: str) -> None:
    assert split_subwords(text) == _cut_one_by_one(text)


@given(TEXTS)
def test_cuts_as_the_library_does(text: str) -> None:
    library = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    ends = [end for _, (_, end) in library.pre_tokenize_str(text)]
    pieces = split_subwords(text)
    assert np.cumsum([len(piece) for piece in pieces]).tolist() == ends


@given(st.text())
def test_the_pieces_are_the_text(text: str) -> None:
    assert "".join(split_subwords(text)) == text


def test_every_character_is_in_its_class_and_no_other() -> None:
    classes: dict[str, list[str]] = {"letter": [], "number": [], "other": [], "space": []}
    for char in map(chr, range(0x110000)):
        classes[_kind(char)].append(char)
    for kind in ("letter", "number", "other"):
        run = "".join(classes[kind]).replace("'", "")
        assert split_subwords(run) == [run], kind
    spaces = "".join(classes["space"])
    assert split_subwords(spaces + "é") == [spaces[:-1], spaces[-1], "é"]


@pytest.fixture
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_CHARACTERS", 5)
    monkeypatch.setattr(module, "LONGEST_RUN_CHARACTERS", 40)


@given(TEXTS)
def test_long_texts_are_cut_where_words_end_anyway(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_CHARACTERS", 3)
        patch.setattr(module, "LONGEST_RUN_CHARACTERS", 100)
        pieces = [text[start:end] for start, end in spans(text)]
    assert "".join(pieces) == text
    assert [word for piece in pieces for word in split_subwords(piece)] == split_subwords(text)


@pytest.mark.usefixtures("short_pieces")
def test_a_run_without_spaces_is_cut_at_its_bound() -> None:
    assert list(spans("x" * 100)) == [(0, 45), (45, 90), (90, 100)]
    assert list(spans("")) == []


@given(st.lists(st.sampled_from(["a", "bb", "ccc", " ", "dd"]), max_size=60), st.integers(1, 6))
def test_each_word_is_encoded_once_and_put_in_all_its_places(words: list[str], cached: int) -> None:
    text = "".join(word + "\n" for word in words)
    asked: list[str] = []

    def encode(new: list[str]) -> list[list[int]]:
        asked.extend(new)
        return [[len(word)] * len(word) for word in new]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_CHARACTERS", 7)
        unbounded = encode_by_words(text, split_subwords, encode, np.uint16, None)
        assert sorted(asked) == sorted(set(split_subwords(text)))
        patch.setattr(module, "_MAX_CACHED_WORDS", cached)
        bounded = encode_by_words(text, split_subwords, encode, np.uint16, None)
    wanted = [len(word) for word in split_subwords(text) for _ in word]
    assert unbounded.tolist() == bounded.tolist() == wanted
    assert unbounded.dtype == bounded.dtype == np.uint16


@pytest.mark.usefixtures("short_pieces")
def test_progress_counts_characters() -> None:
    seen: list[tuple[int, int]] = []
    encode_by_words(
        "one two three four",
        split_subwords,
        lambda new: [[0] for _ in new],
        np.uint16,
        lambda done, total: seen.append((done, total)),
    )
    assert seen == [(7, 18), (13, 18), (18, 18)]
