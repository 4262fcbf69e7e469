"""The catalogue that is shipped is complete and safe."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from engine.data.catalogue import catalogue


def test_holds_the_embedded_text_first_and_the_downloads() -> None:
    entries = catalogue()
    assert [entry.name for entry in entries] == ["python-stdlib", "tiny-shakespeare", "the-verdict"]
    assert [entry.download is None for entry in entries] == [True, False, False]


def test_every_entry_says_what_it_is_and_whose() -> None:
    for entry in catalogue():
        assert entry.title
        assert entry.description.endswith(".")
        assert "Public domain" in entry.licence or "PSF" in entry.licence
        assert entry.prompts
        assert all(prompt.strip() for prompt in entry.prompts)


def test_downloads_are_pinned() -> None:
    for entry in catalogue():
        download = entry.download
        if download is None:
            continue
        assert urlsplit(download.url).scheme == "https"
        # A commit in the address: what it names can't change.
        assert re.search(r"/[0-9a-f]{40}/", download.url)
        assert re.fullmatch(r"[0-9a-f]{64}", download.sha256)
        assert download.size_bytes > 0
        assert re.fullmatch(r"[a-z-]+\.txt", download.file)
