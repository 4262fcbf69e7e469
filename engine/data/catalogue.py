"""The catalogue of texts that come by name: resources/corpora.yaml, checked and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.resource_files import read_resource_yaml


@dataclass(frozen=True)
class Download:
    """Where a text is fetched from, and what exactly must arrive.

    ``sha256`` is that of the file's bytes in lower-case hexadecimal.
    """

    url: str
    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class CatalogueEntry:
    """One text of the catalogue. Without a ``download`` it comes from the running interpreter."""

    name: str
    title: str
    description: str
    licence: str
    prompts: tuple[str, ...]
    download: Download | None = None


@lru_cache(maxsize=1)
def catalogue() -> tuple[CatalogueEntry, ...]:
    """All texts that come by name, the embedded one first."""
    return tuple(_entry(item) for item in read_resource_yaml("corpora.yaml")["corpora"])


def _entry(item: Mapping[str, Any]) -> CatalogueEntry:
    download = None
    if item["kind"] == "download":
        download = Download(item["url"], item["file"], item["size_bytes"], item["sha256"])
    return CatalogueEntry(
        name=item["name"],
        title=item["title"],
        description=item["description"],
        licence=item["licence"],
        prompts=tuple(item["prompts"]),
        download=download,
    )
