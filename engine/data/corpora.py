"""Texts to learn from: by name from the catalogue, or any file or folder.

A text is known by its SHA-256, taken over the UTF-8 form of exactly the characters that are
learned (see ``engine.data.text_files`` for what is normalised).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from engine.data.catalogue import CatalogueEntry, Download, catalogue
from engine.data.download import download_text
from engine.data.errors import CorpusError
from engine.data.folder_text import MAX_FILES, read_text_folder
from engine.data.standard_library import (
    library_description,
    library_location,
    library_size_bytes,
    read_library,
)
from engine.data.text_files import (
    MAX_TEXT_BYTES,
    Cancelled,
    DecodedText,
    Progress,
    read_text_file,
    shown,
)
from engine.locations import cache_home

# Fewer characters than this can't even be split into a part to learn and a part to measure.
MIN_CHARACTERS = 20
_MAX_NAME = 4096


@dataclass(frozen=True)
class Corpus:
    """A text and where it is from.

    ``sha256`` and ``size_bytes`` belong to the UTF-8 form of ``text``. ``source`` is an address, a
    path or an interpreter's version. ``prompts`` are beginnings that suit the text.
    """

    name: str
    text: str = field(repr=False, compare=False)
    sha256: str
    size_bytes: int
    description: str
    source: str
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True)
class CorpusInfo:
    """A text of the catalogue, not loaded.

    ``available``: it can be loaded without the network.
    """

    name: str
    title: str
    size_bytes: int
    available: bool
    description: str
    licence: str
    prompts: tuple[str, ...]


class Downloader(Protocol):
    """What fetches a text of the catalogue: ``engine.data.download.download_text``."""

    def __call__(
        self,
        download: Download,
        folder: Path,
        *,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Path: ...


def corpora_folder() -> Path:
    """Where downloaded texts are kept, and where files fetched by hand belong."""
    return cache_home() / "corpora"


def list_corpora() -> tuple[CorpusInfo, ...]:
    """Every text of the catalogue; nothing is downloaded or decoded for it."""
    return tuple(_info(entry) for entry in catalogue())


def _info(entry: CatalogueEntry) -> CorpusInfo:
    if entry.download is None:
        size_bytes = library_size_bytes(library_location())
        available = size_bytes > 0
    else:
        size_bytes = entry.download.size_bytes
        available = (corpora_folder() / entry.download.file).is_file()
    return CorpusInfo(
        name=entry.name,
        title=entry.title,
        size_bytes=size_bytes,
        available=available,
        description=entry.description,
        licence=entry.licence,
        prompts=entry.prompts,
    )


def load_corpus(
    name_or_path: str | Path,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    allow_download: bool = True,
    max_bytes: int = MAX_TEXT_BYTES,
    max_files: int = MAX_FILES,
    entries: tuple[CatalogueEntry, ...] | None = None,
    downloader: Downloader = download_text,
) -> Corpus:
    """Load a text by its name in the catalogue, or from a file or folder.

    A name of the catalogue goes before a file of the same name (write ``./name`` for the file).
    ``max_bytes`` and ``max_files`` bound what is read from a file or folder. ``entries`` and
    ``downloader`` take the place of the catalogue and of the network.

    Raises CorpusError with one line that says what to do, CorpusCancelledError when ``cancelled()``
    became true.
    """
    found = {entry.name: entry for entry in (entries if entries is not None else catalogue())}
    name = str(name_or_path)
    entry = found.get(name)
    if entry is None:
        corpus = _from_path(name, tuple(found), max_bytes, max_files, progress, cancelled)
    elif entry.download is None:
        corpus = _from_interpreter(entry, progress, cancelled)
    else:
        fetch = partial(downloader, progress=progress, cancelled=cancelled)
        corpus = _from_download(entry, entry.download, fetch if allow_download else None)
    return _long_enough(corpus)


def check_corpus_name(name_or_path: str | Path) -> None:
    """CorpusError where no text of the catalogue, file or folder has this name; reads nothing."""
    names = tuple(entry.name for entry in catalogue())
    if str(name_or_path) not in names:
        _existing_path(str(name_or_path), names)


def _long_enough(corpus: Corpus) -> Corpus:
    characters = len(corpus.text)
    if not corpus.text.strip():
        raise CorpusError(f"{corpus.name} holds no text; choose another file or folder")
    if characters < MIN_CHARACTERS:
        raise CorpusError(
            f"{corpus.name} has only {characters} characters; a text needs at least "
            f"{MIN_CHARACTERS}, and a useful one some ten thousand"
        )
    return corpus


def _from_interpreter(
    entry: CatalogueEntry, progress: Progress | None, cancelled: Cancelled | None
) -> Corpus:
    decoded, modules = read_library(library_location(), progress=progress, cancelled=cancelled)
    version = library_description()
    return Corpus(
        name=entry.name,
        text=decoded.text,
        sha256=decoded.sha256,
        size_bytes=decoded.size_bytes,
        description=f"{modules} single-file modules of the standard library of {version}",
        source=version,
        prompts=entry.prompts,
    )


class _Fetch(Protocol):
    def __call__(self, download: Download, folder: Path) -> Path: ...


def _from_download(entry: CatalogueEntry, download: Download, fetch: _Fetch | None) -> Corpus:
    """The cached text, fetched first where it is missing and ``fetch`` is given."""
    path = corpora_folder() / download.file
    if not path.is_file():
        if fetch is None:
            raise CorpusError(
                f"{entry.name} is not on this machine; allow its download, or fetch {download.url} "
                f"by hand and save it as {path}"
            )
        path = fetch(download, corpora_folder())
    # A copy fetched by hand may have got other line ends; read as text it is still the same.
    decoded = read_text_file(path, max_bytes=2 * download.size_bytes)
    if decoded.sha256 != download.sha256:
        raise CorpusError(
            f"{shown(path)} is not the text expected (its SHA-256 differs); delete it and load "
            f"{entry.name} again"
        )
    return Corpus(
        name=entry.name,
        text=decoded.text,
        sha256=decoded.sha256,
        size_bytes=decoded.size_bytes,
        description=entry.description,
        source=download.url,
        prompts=entry.prompts,
    )


def _from_path(
    text: str,
    names: tuple[str, ...],
    max_bytes: int,
    max_files: int,
    progress: Progress | None,
    cancelled: Cancelled | None,
) -> Corpus:
    path = _existing_path(text, names)
    if path.is_dir():
        folder = read_text_folder(
            path, max_bytes=max_bytes, max_files=max_files, progress=progress, cancelled=cancelled
        )
        return _of_path(path, folder.decoded, folder.summary())
    decoded = read_text_file(path, max_bytes=max_bytes, progress=progress, cancelled=cancelled)
    return _of_path(path, decoded, f"the file {shown(path)}")


def _existing_path(text: str, names: tuple[str, ...]) -> Path:
    short = shown(text if len(text) <= 200 else text[:199] + "…")
    missing = CorpusError(
        f"'{short}' is neither a text of the catalogue ({', '.join(names)}) nor a file or folder"
    )
    if not text.strip() or "\0" in text or len(text) > _MAX_NAME:
        raise missing
    try:
        path = Path(text).expanduser()
        if not path.exists():
            raise missing
        return path.resolve()
    except (OSError, RuntimeError, UnicodeError):
        # No such home folder, a name too long for the system, a loop of links.
        raise missing from None


def _of_path(path: Path, decoded: DecodedText, description: str) -> Corpus:
    return Corpus(
        name=shown(path.name or path),
        text=decoded.text,
        sha256=decoded.sha256,
        size_bytes=decoded.size_bytes,
        description=description,
        source=str(path),
        prompts=_first_words(decoded.text),
    )


def _first_words(text: str) -> tuple[str, ...]:
    """The first words of the text: a beginning that every tokenizer of it can encode."""
    words = text[:400].split(None, 4)[:3]
    start = " ".join(words)[:40]
    return (start,) if start and start in text[:400] else tuple(words[:1])
