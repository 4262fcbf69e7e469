"""A folder is the sorted text files below it; what was skipped is told."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from engine.data import folder_text
from engine.data.errors import CorpusCancelledError, CorpusError
from engine.data.folder_text import read_text_folder


def _fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_files_follow_one_another_by_name_and_end_their_lines(tmp_path: Path) -> None:
    files = {"b.txt": b"second", "a/z.md": b"first\r\n", "c": b"third\n", "a.txt": b"between"}
    found = read_text_folder(_fill(tmp_path, files))
    wanted = "first\nbetween\nsecond\nthird\n"
    assert found.decoded.text == wanted
    assert found.decoded.sha256 == hashlib.sha256(wanted.encode()).hexdigest()
    assert found.decoded.size_bytes == len(wanted)
    assert found.num_files == 4
    assert found.summary() == f"4 text files of {tmp_path}"


def test_what_is_no_text_is_skipped_and_told(tmp_path: Path) -> None:
    files = {
        "good.txt": b"text\n",
        "image.png": b"\x89PNG\0\0",
        "latin1.txt": b"caf\xe9",
        "empty.txt": b"",
        ".hidden": b"secret",
        ".git/config": b"secret",
        "large.txt": b"x" * 50,
    }
    found = read_text_folder(_fill(tmp_path, files), max_bytes=40)
    assert found.decoded.text == "text\n"
    assert found.skipped == {
        "hidden": 2,
        "empty": 1,
        "not readable as UTF-8 text": 2,
        "too large": 1,
    }
    assert found.summary().startswith(f"1 text file of {tmp_path}; skipped 2 hidden, ")


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path: Path) -> None:
    _fill(tmp_path, {"in/one.txt": b"one\n", "outside.txt": b"two\n"})
    (tmp_path / "in" / "link.txt").symlink_to(tmp_path / "outside.txt")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in" / "self").symlink_to(tmp_path / "in" / "self")
    found = read_text_folder(tmp_path / "in")
    assert found.decoded.text == "two\none\n"
    assert found.skipped == {"link to a folder": 1, "unreadable": 2}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(_fill(tmp_path, {"one.txt": b"one\n"}) / "pipe")
    assert read_text_folder(tmp_path).skipped == {"no ordinary file": 1}


def test_bounds_on_files_bytes_and_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(tmp_path, {f"{i}.txt": b"1234567\n" for i in range(5)})
    assert read_text_folder(tmp_path, max_files=5, max_bytes=40).num_files == 5
    with pytest.raises(CorpusError, match=r"more than 4 text files .* choose a folder inside"):
        read_text_folder(tmp_path, max_files=4)
    with pytest.raises(CorpusError, match="or 39 bytes of text; choose a folder inside"):
        read_text_folder(tmp_path, max_bytes=39)
    monkeypatch.setattr(folder_text, "MAX_ENTRIES", 5)
    with pytest.raises(CorpusError, match="more than 5 files"):
        read_text_folder(tmp_path)


def test_a_folder_without_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no UTF-8 text files; choose another"):
        read_text_folder(tmp_path)


def test_progress_reaches_its_total_and_cancelling_stops(tmp_path: Path) -> None:
    _fill(tmp_path, {"a": b"12345", "b": b"123", "c": b"\0\0"})
    seen: list[tuple[int, int]] = []
    read_text_folder(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(5, 10), (8, 10), (10, 10)]
    with pytest.raises(CorpusCancelledError):
        read_text_folder(tmp_path, cancelled=lambda: True)
