"""Texts by name and by path, with an identity, or a clear reason why not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from engine.data import corpora, standard_library
from engine.data.catalogue import CatalogueEntry, Download
from engine.data.corpora import corpora_folder, list_corpora, load_corpus
from engine.data.errors import CorpusCancelledError, CorpusError
from engine.locations import cache_home

TEXT = "All the world's a stage,\nand all the men and women merely players.\n"
ENTRY = CatalogueEntry(
    name="stage",
    title="A stage",
    description="A speech.",
    licence="Public domain",
    prompts=("All the",),
    download=Download(
        url="https://example.invalid/stage.txt",
        file="stage.txt",
        size_bytes=len(TEXT),
        sha256=hashlib.sha256(TEXT.encode()).hexdigest(),
    ),
)


def _serve(data: bytes, calls: list[Path]) -> Callable[..., Path]:
    """Stands in for the network: puts ``data`` where the download belongs."""

    def download(wanted: Download, folder: Path, **_: Any) -> Path:
        calls.append(folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / wanted.file
        path.write_bytes(data)
        return path

    return download


def test_a_download_is_fetched_once_and_then_comes_from_the_cache() -> None:
    calls: list[Path] = []
    fetch = _serve(TEXT.encode(), calls)
    first = load_corpus("stage", entries=(ENTRY,), downloader=fetch)
    second = load_corpus("stage", entries=(ENTRY,), downloader=fetch, allow_download=False)
    assert calls == [corpora_folder()]
    assert corpora_folder() == cache_home() / "corpora"
    assert first == second
    assert first.text == second.text == TEXT
    assert first.name == "stage"
    assert first.source == "https://example.invalid/stage.txt"
    assert first.prompts == ("All the",)
    assert (first.sha256, first.size_bytes) == (ENTRY.download.sha256, len(TEXT))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "data", [TEXT.encode(), b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()]
)
def test_a_file_put_there_by_hand_is_accepted_even_with_other_line_ends(data: bytes) -> None:
    corpora_folder().mkdir(parents=True)
    (corpora_folder() / "stage.txt").write_bytes(data)
    corpus = load_corpus("stage", entries=(ENTRY,), allow_download=False)
    assert corpus.text == TEXT


@pytest.mark.parametrize("data", [b"another text of some length", TEXT.encode() * 3, b"\0" * 30])
def test_a_wrong_file_in_the_cache_is_named(data: bytes) -> None:
    corpora_folder().mkdir(parents=True)
    (corpora_folder() / "stage.txt").write_bytes(data)
    with pytest.raises(CorpusError) as caught:
        load_corpus("stage", entries=(ENTRY,))
    assert str(corpora_folder() / "stage.txt") in str(caught.value)


def test_without_leave_to_download_it_says_where_the_file_belongs() -> None:
    with pytest.raises(CorpusError) as caught:
        load_corpus("tiny-shakespeare", allow_download=False)
    message = str(caught.value)
    assert "allow its download, or fetch https://raw.githubusercontent.com/karpathy/" in message
    assert str(corpora_folder() / "tiny-shakespeare.txt") in message


def test_the_embedded_text_needs_nothing() -> None:
    corpus = load_corpus("python-stdlib", allow_download=False)
    assert corpus.sha256 == hashlib.sha256(corpus.text.encode()).hexdigest()
    assert corpus.size_bytes == len(corpus.text.encode())
    assert standard_library.library_description() in corpus.description
    assert "def " in corpus.prompts


def test_the_list_needs_no_loading_and_tells_what_is_here() -> None:
    found = {info.name: info for info in list_corpora()}
    assert list(found) == ["python-stdlib", "tiny-shakespeare", "the-verdict"]
    assert found["python-stdlib"].available
    assert found["python-stdlib"].size_bytes == load_corpus("python-stdlib").size_bytes
    assert found["tiny-shakespeare"].size_bytes == 1_115_394
    assert not found["tiny-shakespeare"].available
    corpora_folder().mkdir(parents=True)
    (corpora_folder() / "tiny-shakespeare.txt").write_bytes(b"here")
    assert {info.name: info.available for info in list_corpora()}["tiny-shakespeare"]


def test_an_interpreter_without_sources_is_listed_as_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "library_location", lambda: tmp_path / "nothing")
    assert not list_corpora()[0].available
    with pytest.raises(CorpusError, match="without the source"):
        load_corpus("python-stdlib")


def test_a_file_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(TEXT, encoding="utf-8")
    for spelled in (path, str(path)):
        corpus = load_corpus(spelled)
        assert (corpus.name, corpus.text, corpus.source) == ("mine.txt", TEXT, str(path))
        assert corpus.prompts == ("All the world's",)
        assert "\n" not in repr(corpus)


def test_a_path_relative_to_the_working_or_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_corpus("mine.txt").source == load_corpus("~/mine.txt").source


def test_a_name_of_the_catalogue_goes_before_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python-stdlib").write_text(TEXT, encoding="utf-8")
    assert load_corpus("python-stdlib").source != str(tmp_path / "python-stdlib")
    assert load_corpus("./python-stdlib").text == TEXT


def test_a_folder_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "b.bin").write_bytes(b"\0")
    corpus = load_corpus(tmp_path)
    assert (corpus.name, corpus.text, corpus.source) == (tmp_path.name, TEXT, str(tmp_path))
    assert corpus.description.startswith("1 text file of ")
    assert "skipped 1 not readable" in corpus.description


@pytest.mark.parametrize(
    "name", ["", " ", "no-such-text", "\0", "~nobody-of-this-name/x", "a" * 5000, "a\nb", "\udc80"]
)
def test_nonsense_gets_one_line_with_the_names_there_are(name: str) -> None:
    with pytest.raises(
        CorpusError, match=r"neither a text of the catalogue .*tiny-shakespeare"
    ) as e:
        load_corpus(name)
    str(e.value).encode()
    assert "\n" not in str(e.value)
    assert len(str(e.value)) < 400


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no text"),
        (b" \n\t\n" * 10, "holds no text"),
        (b"short", "has only 5 characters"),
        (b"\xff" * 30, "not UTF-8"),
        (b"\x7fELF\0\0", "not text"),
    ],
)
def test_useless_files_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=message):
        load_corpus(path)


def test_bounds_and_cancelling_reach_files_and_folders(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(TEXT, encoding="utf-8")
    for place in (path, tmp_path):
        with pytest.raises(CorpusCancelledError):
            load_corpus(place, cancelled=lambda: True)
    with pytest.raises(CorpusError, match="more than the 10 that are read"):
        load_corpus(path, max_bytes=10)
    with pytest.raises(CorpusError, match="more than 0 text files"):
        load_corpus(tmp_path, max_files=0)


def test_a_corpus_can_not_be_changed() -> None:
    corpus = corpora.Corpus("a", TEXT, "0", 1, "d", "s")
    with pytest.raises(FrozenInstanceError):
        corpus.text = ""  # type: ignore[misc]
