"""Subwords: what the library does with our ids is byte pair encoding, for every text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import pre_tokenizers

from engine.data.tokenizers import TokenizerError, bpe
from engine.data.tokenizers.bpe import BytePairTokenizer, train_bpe
from engine.data.tokenizers.words import split_subwords

TEXT = (
    "The unbelievable thing is that believers believe the believable; nobody "
    "believes the unbelieving. She's sure they'll believe, naïve café-goers: 100 2000 30000!\n\n"
) * 4


@pytest.fixture(scope="module")
def trained() -> BytePairTokenizer:
    return train_bpe(TEXT, 320)


def _encode_by_hand(tokenizer: BytePairTokenizer, text: str) -> list[int]:
    """Byte pair encoding as defined: join the pair with the earliest merge, again and again."""
    ranks = {pair: rank for rank, pair in enumerate(tokenizer.merges)}
    ids_of = {tokenizer.token_bytes(i): i for i in range(tokenizer.vocab_size)}
    result = []
    for word in split_subwords(text):
        ids = list(word.encode())
        while len(ids) > 1:
            pairs = list(zip(ids, ids[1:]))  # noqa: B905, RUF007
            best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
            if best not in ranks:
                break
            at = pairs.index(best)
            joined = tokenizer.token_bytes(best[0]) + tokenizer.token_bytes(best[1])
            ids[at : at + 2] = [ids_of[joined]]
        result += ids
    return result


# Shrinking gets nowhere when every example trains: one tokenizer serves all.
_TRAINED = train_bpe(TEXT, 320)
PIECES = st.lists(
    st.sampled_from(["un", "believ", "able", " ", "the", "é", "\n", "'s", "0", "😀", "s", " be"])
).map("".join)


@given(st.text() | PIECES)
def test_every_text_comes_back(text: str) -> None:
    ids = _TRAINED.encode(text)
    assert ids.dtype == np.uint16
    assert _TRAINED.decode(ids) == text


@given(PIECES)
def test_ids_are_those_of_the_definition(text: str) -> None:
    assert _TRAINED.encode(text).tolist() == _encode_by_hand(_TRAINED, text)


def test_bytes_keep_their_values_and_merges_count_on(trained: BytePairTokenizer) -> None:
    assert [trained.token_bytes(i) for i in range(256)] == [bytes([i]) for i in range(256)]
    assert trained.vocab_size == 320
    left, right = trained.merges[0]
    assert trained.token_bytes(256) == bytes([left, right])


def test_first_merge_is_the_most_frequent_pair() -> None:
    assert train_bpe("xy xy xy ab ab", 257).token_bytes(256) == b"xy"


def test_a_word_is_cut_into_parts_that_recur(trained: BytePairTokenizer) -> None:
    tokens = trained.tokens("unbelievable")
    assert "".join(text for text, _ in tokens) == "unbelievable"
    assert 1 < len(tokens) < 6
    assert len(trained.encode(TEXT)) < len(TEXT) / 2


def test_bytes_that_are_no_character_are_shown_as_such(trained: BytePairTokenizer) -> None:
    assert [text for text, _ in trained.tokens("€")] == ["<0xE2>", "<0x82>", "<0xAC>"]


def test_vocabulary_stays_smaller_where_the_text_supports_no_more() -> None:
    tokenizer = train_bpe("abc abc xyz", 1000)
    assert 256 < tokenizer.vocab_size < 270


def test_learned_tokens_stay_short() -> None:
    tokenizer = train_bpe(("=" * 500 + "\n") * 50, 600)
    assert max(len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)) <= 64


def test_training_twice_gives_the_same_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom engine.data.tokenizers.bpe import train_bpe\n"
        "from engine.data.standard_library import *\n"
        "text = read_library(library_location())[0].text[:150_000]\n"
        "sys.stdout.write(train_bpe(text, 700).to_json())"
    )
    root = Path(bpe.__file__).parents[3]
    found = set()
    for threads, seed in (("1", "0"), ("2", "1")):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment, cwd=root, capture_output=True, check=True, timeout=60,
        )  # fmt: skip
        found.add(done.stdout)
    assert len(found) == 1
    assert len(json.loads(found.pop())["merges"]) == 700 - 256


def test_long_texts_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.data.tokenizers import words

    monkeypatch.setattr(words, "CHUNK_CHARACTERS", 10)
    monkeypatch.setattr(bpe, "MAX_TRAINING_CHARACTERS", 200)
    text = "".join(f"{number:08d} \n" for number in range(100))
    seen: list[tuple[int, int]] = []
    pieces = list(bpe._training_pieces(text, lambda done, total: seen.append((done, total))))
    assert sum(map(len, pieces)) <= 200 + 20
    assert len(pieces) > 10
    assert text.index(pieces[-1]) > len(text) * 3 // 4
    assert seen[-1][0] > len(text) * 3 // 4
    assert {total for _, total in seen} == {len(text)}


def test_progress_can_end_the_training() -> None:
    class Stop(Exception):  # noqa: N818
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        train_bpe(TEXT, 300, stop)


def test_text_without_any_space_is_encoded_too(trained: BytePairTokenizer) -> None:
    text = "believe" * 180_000
    ids = trained.encode(text)
    assert trained.decode(ids) == text
    assert len(ids) < len(text) / 3


def test_half_a_character_is_refused_or_left_out(trained: BytePairTokenizer) -> None:
    with pytest.raises(TokenizerError, match="is half of a character"):
        trained.encode("a\udc80")
    ids, left_out = trained.encode_prompt("a\udc80")
    assert (ids.tolist(), left_out) == ([97], ("\udc80",))


def test_the_librarys_own_file_encodes_alike(trained: BytePairTokenizer) -> None:
    library = LibraryTokenizer.from_str(trained.to_hugging_face())
    for text in (TEXT, " \n\n  x", "naïve 漢字 😀 don't"):
        encoded = library.encode(text)
        assert encoded.ids == trained.encode(text).tolist()
        assert library.decode(encoded.ids) == text


def test_a_token_that_two_merges_make_has_one_id() -> None:
    # a+b, b+c, ab+c and a+bc: the last two make the same token.
    tokenizer = BytePairTokenizer([(97, 98), (98, 99), (256, 99), (97, 257)])
    assert tokenizer.vocab_size == 259
    assert tokenizer.encode("abc").tolist() == [258]
    assert tokenizer.decode([258]) == "abc"


@pytest.mark.parametrize(
    ("merges", "message"),
    [
        ([(256, 0)], "before it exists"),
        ([(0, -1)], "before it exists"),
        ([(0, 1), (0, 1)], "join the same tokens"),
        ([(0, 0)] + [(256 + i, 256 + i) for i in range(30)], "bytes: too long"),
    ],
)
def test_merges_that_do_not_follow_are_refused(merges: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        BytePairTokenizer(merges)


def test_vocabularies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "MAX_MERGES", 3)
    with pytest.raises(TokenizerError, match="more than 3 merges"):
        BytePairTokenizer([(0, 0), (0, 1), (0, 2), (0, 3)])


def test_bytes_are_written_as_the_library_writes_them() -> None:
    assert set(bpe._byte_characters()) == set(pre_tokenizers.ByteLevel.alphabet())
    library = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for char in map(chr, range(1, 0x800)):
        ((written, _),) = library.pre_tokenize_str(char)
        assert written == "".join(bpe._byte_characters()[value] for value in char.encode())


@pytest.mark.parametrize("merge", ["a b", ["a", "b"]])
def test_merges_of_older_and_newer_libraries_are_read(merge: object) -> None:
    assert bpe._own_merges([merge]) == [(97, 98)]  # type: ignore[list-item]
