"""What is there when the window has opened is never walked again."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from trickster_gui import collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_while_the_window_opens() -> None:
    collector.pause()
    assert not gc.isenabled()


def test_a_collection_then_walks_newer_objects_only() -> None:
    kept = [{} for _ in range(1_000)]
    collector.pause()
    collector.settle()
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(kept)
    # Of the cyclic collector's own generations nearly nothing is left.
    assert len(gc.get_objects()) < 1_000
