"""Exported tokenizers give the same ids and the same text as ours."""

from __future__ import annotations

from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as LibraryTokenizer

from engine.data.tokenizers import Tokenizer, train_tokenizer
from engine.data.tokenizers.word import WordTokenizer
from engine.interop.hf_tokenizer import hf_tokenizer

TEXT = "It's the first line,\nand the  second: naïve café_2 x² ½ 日本語!\tthe end\r\n " * 20


@lru_cache
def pair(kind: str) -> tuple[Tokenizer, LibraryTokenizer]:
    if kind == "word":
        ours: Tokenizer = WordTokenizer(["It", " the", "the", " first", " ", "\n", ",", " naïve"])
    else:
        ours = train_tokenizer(kind, TEXT, 300)
    return ours, LibraryTokenizer.from_str(hf_tokenizer(ours))


# Characters that this Python's Unicode tables do not know yet may be letters to the library's newer
# ones.
texts = st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=60) | st.lists(
    st.sampled_from(TEXT.split(" ")), max_size=20
).map(" ".join)


@pytest.mark.parametrize("kind", ["character", "byte", "bpe", "word"])
@given(text=texts)
def test_the_same_ids_and_the_same_text(kind: str, text: str) -> None:
    ours, theirs = pair(kind)
    expected = (ours.encode(text) if kind == "word" else ours.encode_prompt(text)[0]).tolist()
    found = theirs.encode(text).ids
    assert found == expected
    assert theirs.decode(found, skip_special_tokens=False) == ours.decode(expected)


@pytest.mark.parametrize("kind", ["character", "byte", "bpe", "word"])
def test_the_text_itself(kind: str) -> None:
    ours, theirs = pair(kind)
    assert theirs.encode(TEXT).ids == ours.encode(TEXT).tolist()
    assert theirs.get_vocab_size() == ours.vocab_size
