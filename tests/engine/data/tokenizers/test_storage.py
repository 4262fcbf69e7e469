"""Tokenizers come back from their files; nothing else is let in."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.tokenizers import (
    KINDS,
    Tokenizer,
    TokenizerError,
    load_tokenizer,
    storage,
    tokenizer_from_json,
    train_tokenizer,
)

TEXT = "one fish two fish, naïve 漢字 fish 😀\n" * 3
HEAD = {"format": "trickster-tokenizer", "version": 1}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train_tokenizer(request.param, TEXT, 300)


def test_comes_back_equal(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    tokenizer.save(str(path))
    loaded = load_tokenizer(path)
    assert loaded == tokenizer
    assert hash(loaded) == hash(tokenizer)
    assert type(loaded) is type(tokenizer)
    assert np.array_equal(loaded.encode(TEXT), tokenizer.encode(TEXT))
    assert list(tmp_path.iterdir()) == [path]


def test_different_tokenizers_are_not_equal() -> None:
    made = [train_tokenizer(kind, TEXT, 300) for kind in KINDS]
    assert all(one != other for one in made for other in made if one is not other)
    assert made[0] != "tokenizer"


def test_a_failed_save_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokenizer.json"
    train_tokenizer("byte", TEXT, 256).save(path)
    broken = train_tokenizer("character", TEXT, 300)
    monkeypatch.setattr(type(broken), "to_json", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken.save(path)
    assert load_tokenizer(path).kind == "byte"
    assert list(tmp_path.iterdir()) == [path]


def test_ids_that_are_no_tokens_become_the_replacement_character(tokenizer: Tokenizer) -> None:
    fish = tokenizer.encode(" fish").tolist()
    beyond = [tokenizer.vocab_size, -1, 10**12]
    for ids in (fish + beyond, np.array(fish + beyond)):
        assert tokenizer.decode(ids) == " fish" + "\ufffd" * 3
    assert tokenizer.token_text(-1) == tokenizer.token_text(tokenizer.vocab_size) == "\ufffd"
    assert tokenizer.decode([]) == tokenizer.decode(np.array([], dtype=np.int64)) == ""


@given(st.lists(st.integers(-5, 400)), st.sampled_from(KINDS))
def test_decoding_never_raises_and_arrives_alike_one_by_one(ids: list[int], kind: str) -> None:
    tokenizer = _MADE[kind]
    stream = tokenizer.decode_stream()
    pieces = [stream.push(token_id) for token_id in ids]
    text = tokenizer.decode(ids)
    assert "".join(pieces) + stream.finish() == text
    assert tokenizer.decode(np.array(ids, dtype=np.int64)) == text


_MADE = {kind: train_tokenizer(kind, TEXT, 300) for kind in KINDS}


def test_a_stream_holds_back_half_a_character() -> None:
    stream = train_tokenizer("byte", TEXT, 256).decode_stream()
    assert [stream.push(byte) for byte in "é!".encode()] == ["", "é", "!"]
    assert stream.push(0xE2) == ""
    assert stream.finish() == "\ufffd"


def test_every_token_has_a_text_to_show(tokenizer: Tokenizer) -> None:
    for token_id in range(tokenizer.vocab_size):
        assert tokenizer.token_text(token_id)
        tokenizer.token_text(token_id).encode()


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "[" * 100_000,
        '{"a":' * 100_000,
        "1" * 10_000,
        "null",
        "[]",
        "{}",
        json.dumps({**HEAD, "format": "other"}),
        json.dumps({**HEAD, "version": 2, "kind": "byte"}),
        json.dumps({**HEAD, "version": [[]], "kind": "byte"}),
        json.dumps(HEAD),
        json.dumps({**HEAD, "kind": "pickle"}),
        json.dumps({**HEAD, "kind": ["byte"]}),
        json.dumps({**HEAD, "kind": "character"}),
        json.dumps({**HEAD, "kind": "character", "alphabet": ""}),
        json.dumps({**HEAD, "kind": "character", "alphabet": "ba"}),
        json.dumps({**HEAD, "kind": "character", "alphabet": ["a"]}),
        json.dumps({**HEAD, "kind": "character", "alphabet": "a\ud800"}),
        json.dumps({**HEAD, "kind": "bpe"}),
        json.dumps({**HEAD, "kind": "bpe", "merges": {"a": 1}}),
        json.dumps({**HEAD, "kind": "bpe", "merges": [[1]]}),
        json.dumps({**HEAD, "kind": "bpe", "merges": [["a", "b"]]}),
        json.dumps({**HEAD, "kind": "bpe", "merges": [[True, False]]}),
        json.dumps({**HEAD, "kind": "bpe", "merges": [[1.5, 2]]}),
        json.dumps({**HEAD, "kind": "bpe", "merges": [[10**30, 2]]}),
        json.dumps({**HEAD, "kind": "bpe", "merges": [[0, 0]] + [[i, i] for i in range(256, 290)]}),
        json.dumps({**HEAD, "kind": "word", "words": "abc"}),
        json.dumps({**HEAD, "kind": "word", "words": [1]}),
        json.dumps({**HEAD, "kind": "word", "words": ["a", "a"]}),
    ],
)
def test_anything_else_is_refused_in_one_line(document: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(document, encoding="utf-8")
    with pytest.raises(TokenizerError) as caught:
        load_tokenizer(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
), st.sampled_from([*KINDS, "x"]), st.sampled_from(["alphabet", "merges", "words"]))  # fmt: skip
def test_any_document_is_a_tokenizer_or_refused(value: object, kind: str, field: str) -> None:
    text = json.dumps({**HEAD, "kind": kind, field: value})
    try:
        tokenizer = tokenizer_from_json(text)
    except TokenizerError:
        return
    assert tokenizer_from_json(tokenizer.to_json()) == tokenizer


def test_files_that_can_not_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TokenizerError, match="can't be read"):
        load_tokenizer(tmp_path / "missing.json")
    with pytest.raises(TokenizerError, match="can't be read"):
        load_tokenizer(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(TokenizerError, match="can't be read"):
            load_tokenizer(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(TokenizerError, match="not UTF-8"):
        load_tokenizer(tmp_path / "binary")
    monkeypatch.setattr(storage, "MAX_FILE_BYTES", 100)
    (tmp_path / "large").write_bytes(b" " * 101)
    with pytest.raises(TokenizerError, match="more than 100 bytes"):
        load_tokenizer(tmp_path / "large")
    with pytest.raises(TokenizerError, match="more than 100 characters"):
        tokenizer_from_json(" " * 101)
