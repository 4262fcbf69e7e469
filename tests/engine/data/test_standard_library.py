"""The embedded text: this interpreter's own standard library, from a folder or a zip file."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from engine.data import standard_library
from engine.data.errors import CorpusCancelledError, CorpusError
from engine.data.standard_library import library_location, library_size_bytes, read_library


def _library(folder: Path) -> Path:
    """A made-up library of two modules and all kinds of things to leave out."""
    folder.mkdir()
    (folder / "os.py").write_bytes(b"import sys\r\n" * 3)
    (folder / "abc.py").write_bytes(b"# abc\n\n\n")
    (folder / "names.py").write_bytes("# é\n".encode())
    (folder / "empty.py").write_bytes(b"")
    (folder / "_sysconfigdata_linux.py").write_bytes(b"table = {}\n")
    (folder / "sitecustomize.py").write_bytes(b"local = 1\n")
    (folder / "readme.txt").write_bytes(b"no module\n")
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_bytes(b"inside = 1\n")
    return folder


def _zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as opened:
        for path in folder.rglob("*"):
            if path.is_file():
                opened.write(path, path.relative_to(folder).as_posix())
    return archive


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_library, "MIN_LIBRARY_BYTES", 10)


WANTED = "# abc\nimport sys\nimport sys\nimport sys\n"


@pytest.mark.usefixtures("small")
def test_takes_plain_ascii_modules_in_the_order_of_their_names(tmp_path: Path) -> None:
    decoded, modules = read_library(_library(tmp_path / "lib"))
    assert decoded.text == WANTED
    assert decoded.sha256 == hashlib.sha256(WANTED.encode()).hexdigest()
    assert modules == 2
    assert library_size_bytes(tmp_path / "lib") == decoded.size_bytes == len(WANTED)


@pytest.mark.usefixtures("small")
def test_reads_the_same_from_a_zip_file(tmp_path: Path) -> None:
    archive = _zipped(_library(tmp_path / "lib"), tmp_path / "python.zip")
    assert read_library(archive)[0].text == WANTED
    assert library_size_bytes(archive) == len(WANTED)


@pytest.mark.usefixtures("small")
def test_stays_below_its_bound_by_leaving_out_whole_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standard_library, "MAX_LIBRARY_BYTES", len(WANTED) - 1)
    monkeypatch.setattr(standard_library, "MIN_LIBRARY_BYTES", 1)
    assert read_library(_library(tmp_path / "lib"))[0].text == "# abc\n"


def test_missing_sources_are_said_with_a_way_out(tmp_path: Path) -> None:
    compiled_only = tmp_path / "lib"
    compiled_only.mkdir()
    (compiled_only / "os.pyc").write_bytes(b"\0" * 20)
    broken = tmp_path / "python.zip"
    broken.write_bytes(b"no zip file")
    for location in (compiled_only, broken, tmp_path / "missing"):
        with pytest.raises(CorpusError, match=r"without the source .* choose tiny-shakespeare"):
            read_library(location)
        assert library_size_bytes(location) == 0


def test_this_interpreters_library_is_a_good_first_text() -> None:
    seen: list[tuple[int, int]] = []
    decoded, modules = read_library(
        library_location(), progress=lambda done, total: seen.append((done, total))
    )
    assert 2_000_000 < decoded.size_bytes < standard_library.MAX_LIBRARY_BYTES
    assert modules > 80
    assert decoded.text.isascii()
    assert len(set(decoded.text)) < 128
    assert "class ArgumentParser" in decoded.text
    assert seen[-1] == (decoded.size_bytes, decoded.size_bytes)
    again, _ = read_library(library_location())
    assert again.sha256 == decoded.sha256


def test_reading_can_be_cancelled() -> None:
    with pytest.raises(CorpusCancelledError):
        read_library(library_location(), cancelled=lambda: True)
