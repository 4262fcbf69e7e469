from __future__ import annotations

import pytest

from engine.devices import card
from engine.devices.card import load_cards
from engine.resource_files import ResourceError

CARDS = {entry.name: entry for entry in load_cards()}
GIB = 1 << 30


def test_the_lessons_cards_are_all_there() -> None:
    assert list(CARDS) == ["n150", "n300", "t3k", "p100", "p150", "p300c", "galaxy"]


@pytest.mark.parametrize(
    ("name", "chips", "tensix", "sram", "memory", "bandwidth", "tflops"),
    [
        ("n150", 1, 72, 108, "12 GB", 288, (262, 74, 148)),
        ("n300", 2, 128, 192, "24 GB", 576, (466, 131, 262)),
        ("t3k", 8, 512, 768, "96 GB", 2_304, (1_864, 524, 1_048)),
        ("p100", 1, 120, 180, "28 GB", 448, (None, None, 664)),
        ("p150", 1, 120, 180, "32 GB", 512, (None, None, 664)),
        ("p300c", 2, 240, 360, "64 GB", 1_024, (None, None, None)),
        ("galaxy", 32, 2_304, None, "384 GB", None, (None, None, None)),
    ],
)
def test_each_figure_is_the_published_one(
    name: str, chips: int, tensix: int, sram: int | None, memory: str, bandwidth: int | None,
    tflops: tuple[float | None, ...],
) -> None:  # fmt: skip
    entry = CARDS[name]
    assert (entry.kind, entry.chips, entry.tensix_cores) == ("card", chips, tensix)
    assert entry.printed_memory == memory
    assert entry.sram_bytes == (None if sram is None else sram * 10**6)
    assert entry.bandwidth_bytes_s == (None if bandwidth is None else bandwidth * 10**9)
    assert tuple(entry.tflops[f] for f in ("fp8", "fp16", "blockfp8")) == tflops


def test_memory_is_what_the_vendors_software_addresses() -> None:
    assert CARDS["n150"].chip_memory_bytes == 12 * GIB
    assert CARDS["p150"].chip_memory_bytes == 8 * (4 * GIB - (16 << 20))
    assert CARDS["p100"].chip_memory_bytes == 7 * (4 * GIB - (16 << 20))
    for entry in CARDS.values():
        assert entry.chip_memory_bytes is not None
        assert entry.memory_bytes == entry.chips * entry.chip_memory_bytes


def test_every_card_has_its_source_and_says_what_is_computed() -> None:
    for entry in CARDS.values():
        assert entry.source.startswith("docs.tenstorrent.com")
        assert "soc descriptors" in entry.notes
    assert "memory_bytes" in CARDS["t3k"].computed
    assert CARDS["galaxy"].computed == ("tensix_cores", "memory_bytes")
    assert CARDS["n150"].computed == ()


@pytest.mark.parametrize("table", [None, {}, {"cards": [{"name": "x"}]}, {"cards": 3}])
def test_a_damaged_table_is_named(monkeypatch: pytest.MonkeyPatch, table: object) -> None:
    monkeypatch.setattr(card, "read_resource_yaml", lambda _: table)
    with pytest.raises(ResourceError, match=r"cards\.yaml"):
        load_cards.__wrapped__()
