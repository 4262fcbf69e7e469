"""Bytes: every text, 256 ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.tokenizers import TokenizerError, byte
from engine.data.tokenizers.byte import ByteTokenizer


@given(st.text())
def test_ids_are_the_bytes_of_utf8(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte, "CHUNK_CHARACTERS", 3)
        ids = ByteTokenizer().encode(text)
    assert ids.dtype == np.uint16
    assert bytes(ids.tolist()) == text.encode()
    assert ByteTokenizer().decode(ids) == text


def test_half_a_character_is_named() -> None:
    with pytest.raises(TokenizerError, match=r"U\+DC80 at position 2 is half"):
        ByteTokenizer().encode("ab\udc80")
    ids, left_out = ByteTokenizer().encode_prompt("a\udc80b\udc80")
    assert ids.tolist() == [97, 98]
    assert left_out == ("\udc80",)


def test_progress_ends_at_the_length() -> None:
    seen: list[tuple[int, int]] = []
    ByteTokenizer().encode("éé", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 2)]
