"""Text files are read as UTF-8 with one kind of newline, or refused in one clear line."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data import text_files
from engine.data.errors import CorpusCancelledError, CorpusError
from engine.data.text_files import decode_chunks, read_text_file, shown


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in zip(ends, ends[1:])]  # noqa: B905, RUF007


def _write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(data)
    return path


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
       st.lists(st.integers(0, 40)))  # fmt: skip
def test_any_text_cut_anywhere_comes_back_with_plain_newlines(text: str, cuts: list[int]) -> None:
    wanted = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    decoded = decode_chunks(_pieces(text.encode(), cuts), "it")
    utf8 = wanted.encode()
    assert decoded.text == wanted
    assert decoded.sha256 == hashlib.sha256(utf8).hexdigest()
    assert decoded.size_bytes == len(utf8)


@given(st.binary(max_size=30), st.lists(st.integers(0, 30)))
def test_any_bytes_are_decoded_as_python_decodes_them_or_refused(
    data: bytes, cuts: list[int]
) -> None:
    try:
        wanted = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        wanted = None
    if wanted is None or "\0" in wanted:
        with pytest.raises(CorpusError) as caught:
            decode_chunks(_pieces(data, cuts), "it")
        assert "\n" not in str(caught.value)
    else:
        assert decode_chunks(_pieces(data, cuts), "it").text == wanted


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b"caf\xe9 au lait", 3),
        (b"\xef\xbb\xbfcaf\xe9 au lait", 6),
        (b"a\r\nb\r\ncaf\xe9 au lait", 9),
        ("é".encode() * 10 + b"\xff", 20),
        (b"ab\xe2\x82(", 2),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_error_names_the_offset_of_the_first_bad_byte_in_the_file(
    data: bytes, at: int, size: int
) -> None:
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    with pytest.raises(CorpusError, match=f"menu.txt is not UTF-8 text: byte {at} fits .*iconv"):
        decode_chunks(chunks, "menu.txt")


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\x02\x01\x01\0" + bytes(range(256)), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"PK\x03\x04" + b"\x9c\x01\xb5\x02\xff\x03\x80\x1f" * 40, bytes(range(254, 0, -1)) * 3,
    ],
)  # fmt: skip
def test_what_is_no_text_at_all_gets_no_advice_on_encodings(data: bytes) -> None:
    with pytest.raises(CorpusError, match="choose a text file") as caught:
        decode_chunks([data], "it")
    assert "iconv" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Élève à l’école, où l’été …\n" * 9, "cp1252"), ("Пушкин писал стихи\r\n" * 9, "cp1251"),
        ("Ελληνικά\t" * 9, "iso8859-7"), ("Größe", "latin-1"),
    ],
)  # fmt: skip
def test_text_of_eight_bits_a_character_is_told_to_be_converted(text: str, encoding: str) -> None:
    with pytest.raises(CorpusError, match="iconv -f WINDOWS-1252"):
        decode_chunks([text.encode(encoding)], "it")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_its_mark_is_told_to_be_converted(encoding: str) -> None:
    with pytest.raises(CorpusError, match=r"UTF-16.*iconv -f UTF-16"):
        decode_chunks([("To be, or not to be\n" * 9).encode(encoding)], "it")


def test_zero_byte_means_binary() -> None:
    with pytest.raises(CorpusError, match=r"is not text: byte 1,003 is zero"):
        decode_chunks([b"x" * 1000, b"yes\0no"], "it")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_recognised_by_its_mark(encoding: str) -> None:
    with pytest.raises(CorpusError, match="is UTF-16 text; save it as UTF-8"):
        decode_chunks(["\ufeffhello".encode(encoding)], "it")


def test_cut_off_last_character_is_said() -> None:
    with pytest.raises(CorpusError, match="ends in the middle of a UTF-8 character"):
        decode_chunks(["good é".encode()[:-1]], "it")


def test_reads_a_file_and_tells_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "CHUNK_BYTES", 4)
    seen: list[tuple[int, int]] = []
    path = _write(tmp_path, b"0123456789")
    decoded = read_text_file(path, progress=lambda done, total: seen.append((done, total)))
    assert decoded.text == "0123456789"
    assert seen == [(4, 10), (8, 10), (10, 10)]


def test_reading_can_be_cancelled(tmp_path: Path) -> None:
    path = _write(tmp_path, b"text")
    with pytest.raises(CorpusCancelledError):
        read_text_file(path, cancelled=lambda: True)


def test_too_large_a_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = _write(tmp_path, b"x" * 101)
    assert read_text_file(path, max_bytes=101).size_bytes == 101
    with pytest.raises(CorpusError, match="has 101 bytes, more than the 100"):
        read_text_file(path, max_bytes=100)


def test_a_file_that_grows_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "CHUNK_BYTES", 50)
    path = _write(tmp_path, b"x" * 100)

    def grow(done: int, total: int) -> None:
        if done == 50:
            with path.open("ab") as file:
                file.write(b"y")

    with pytest.raises(CorpusError, match="grew beyond 100 bytes"):
        read_text_file(path, max_bytes=100, progress=grow)


def test_what_is_no_ordinary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no ordinary file"):
        read_text_file(tmp_path)
    with pytest.raises(CorpusError, match="can't be read"):
        read_text_file(tmp_path / "missing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorpusError, match="no ordinary file"):
        read_text_file(tmp_path / "pipe")


def test_a_large_text_takes_little_more_than_twice_its_size(tmp_path: Path) -> None:
    import tracemalloc

    size_bytes = 24 << 20
    path = _write(tmp_path, b"0123456789abcde\n" * (size_bytes // 16))
    tracemalloc.start()
    try:
        text = read_text_file(path).text
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(text) == size_bytes
    assert peak_bytes < 2.6 * size_bytes


def test_paths_are_shown_on_one_printable_line() -> None:
    assert shown("a\nb\udc80c") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes exist on Linux")
def test_a_name_of_any_bytes_gives_a_printable_message(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.txt")
    Path(name).write_bytes(b"\xff" * 10)
    with pytest.raises(CorpusError) as caught:
        read_text_file(Path(name))
    str(caught.value).encode()
    assert "\n" not in str(caught.value)
