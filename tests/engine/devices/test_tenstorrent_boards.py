"""Which chips sit on one card, and what is said of it."""

from __future__ import annotations

import pytest

from engine.devices.tenstorrent_boards import PresentCard, boards_of, merge_sources, table_entry
from engine.devices.tenstorrent_reading import Reading
from engine.devices.tenstorrent_smi import parse_snapshot
from tests.engine.devices.recorded import chip, snapshot


def seen(number: int, card_type: str, serial: str = "", **more: object) -> Reading:
    """A device of the driver."""
    bus = f"0000:{number + 1:02x}:00.0"
    return Reading(("driver",), number, bus, card_type, serial, **more)  # type: ignore[arg-type]


def names(cards: tuple[PresentCard, ...]) -> list[str]:
    return [card.name for card in cards]


@pytest.mark.parametrize(
    ("card_type", "name", "architecture"),
    [
        ("n150", "n150", "wormhole"), ("n150 L", "n150", "wormhole"),
        ("N300 R", "n300", "wormhole"),
        ("p100", "p100", "blackhole"), ("p100a", "p100", "blackhole"),
        ("p150a", "p150", "blackhole"), ("p150b", "p150", "blackhole"),
        ("p150c", "p150", "blackhole"), ("p300a", "p300c", "blackhole"),
        ("p300b", "p300c", "blackhole"), ("p300c", "p300c", "blackhole"),
        ("galaxy-wormhole", "galaxy", "wormhole"), ("tt-galaxy-wh", "galaxy", "wormhole"),
    ],
)  # fmt: skip
def test_every_type_has_its_entry_of_the_card_table(
    card_type: str, name: str, architecture: str
) -> None:
    (card,) = boards_of((seen(0, card_type, "1"),))
    assert card.name == f"{name}:0"
    assert card.card is not None
    assert card.card.name == name
    assert card.architecture == architecture


@pytest.mark.parametrize("card_type", ["galaxy-blackhole", "x900", "unknown", ""])
def test_other_types_are_listed_with_what_is_known(card_type: str) -> None:
    (card,) = boards_of((seen(0, card_type, "1"),))
    assert (card.name, card.card, card.chips) == ("unknown:0", None, 1)
    assert "card table" in card.notes[-1] or "not told" in card.notes[-1]
    assert table_entry(card_type) is None


def test_an_n300_is_one_device_with_two_chips() -> None:
    (card,) = boards_of((seen(3, "n300", "a"),))
    assert (card.name, card.chips, card.numbers) == ("n300:0", 2, (3,))


def test_a_p300_is_two_devices_of_one_board() -> None:
    (card,) = boards_of((seen(0, "p300c", "b"), seen(1, "p300c", "b")))
    assert (card.name, card.chips, card.numbers) == ("p300c:0", 2, (0, 1))
    assert card.bus_ids == ("0000:01:00.0", "0000:02:00.0")
    assert card.notes == ()


def test_half_a_p300_says_so() -> None:
    (card,) = boards_of((seen(0, "p300c", "b"),))
    assert (card.chips, card.notes) == (1, ("1 of its 2 chips are seen",))


def test_two_p300_are_two_boards() -> None:
    cards = boards_of([seen(n, "p300c", "b" if n < 2 else "c") for n in range(4)])
    assert [(card.name, card.numbers) for card in cards] == [
        ("p300c:0", (0, 1)), ("p300c:1", (2, 3)),
    ]  # fmt: skip


def test_several_cards_are_numbered_by_kind() -> None:
    cards = boards_of((seen(1, "n150", "e"), seen(2, "p150a", "d"), seen(10, "p150b", "c")))
    assert names(cards) == ["n150:0", "p150:0", "p150:1"]
    assert [card.numbers for card in cards] == [(1,), (2,), (10,)]


def test_single_cards_with_the_same_serial_number_stay_apart() -> None:
    cards = boards_of((seen(0, "n150", "ff"), seen(1, "n150", "ff")))
    assert [(card.name, card.chips) for card in cards] == [("n150:0", 1), ("n150:1", 1)]


def test_four_n300_are_a_t3k_whose_boards_stay_addressable() -> None:
    cards = boards_of([
        seen(n, "n300", f"s{n}", firmware="18.7.0.0", clock_mhz=1_000 + n, power_w=20.0,
             temperature_c=40.0 + n)
        for n in range(4)
    ])  # fmt: skip
    assert names(cards) == ["t3k:0", "n300:0", "n300:1", "n300:2", "n300:3"]
    whole = cards[0]
    assert whole.card is not None
    assert (whole.card.name, whole.chips, whole.numbers) == ("t3k", 8, (0, 1, 2, 3))
    assert whole.members == ("n300:0", "n300:1", "n300:2", "n300:3")
    assert (whole.firmware, whole.clock_mhz, whole.temperature_c) == ("18.7.0.0", 1_003, 43.0)
    assert whole.power_w == 80.0
    assert {card.part_of for card in cards[1:]} == {"t3k:0"}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_another_number_of_n300_is_no_t3k(count: int) -> None:
    cards = boards_of([seen(n, "n300", f"s{n}") for n in range(count)])
    assert names(cards) == [f"n300:{n}" for n in range(count)]


def test_a_t3k_with_different_firmware_says_so() -> None:
    cards = boards_of([seen(n, "n300", f"s{n}", firmware=f"18.{n // 3}.0.0") for n in range(4)])
    assert cards[0].firmware == "18.0.0.0, 18.1.0.0"
    assert cards[0].notes == ("its boards have different firmware",)


def test_a_galaxy_is_all_its_chips_whatever_their_serial_numbers() -> None:
    (card,) = boards_of([seen(n, "galaxy-wormhole", f"tray{n // 8}") for n in range(32)])
    assert (card.name, card.chips, card.serial) == ("galaxy:0", 32, "")
    assert len(card.numbers) == 32
    assert card.notes == ()


def test_a_galaxy_with_a_chip_missing_says_so() -> None:
    (card,) = boards_of([seen(n, "galaxy-wormhole", "s") for n in range(31)])
    assert card.notes == ("31 of its 32 chips are seen",)


def test_the_second_chip_of_an_n300_joins_its_board() -> None:
    told, _ = parse_snapshot(snapshot(
        chip("n300 L", "a", 1), chip("n300 R", "a", None, asic_temperature="55.0"),
    ))  # fmt: skip
    (card,) = boards_of(merge_sources((), told))
    assert (card.name, card.card_type, card.chips) == ("n300:0", "n300", 2)
    assert (card.temperature_c, card.power_w, card.numbers) == (55.0, 26.0, ())


def test_power_of_some_chips_only_says_so() -> None:
    (card,) = boards_of((seen(0, "n300", "a", power_w=20.0),))
    assert (card.power_w, card.notes) == (20.0, ("power is told by 1 of 2 chips",))


def test_a_chip_without_a_type_belongs_to_the_board_of_its_serial_number() -> None:
    (card,) = boards_of((seen(0, "n300", "a"), Reading(("tt-smi",), serial="a")))
    assert card.chips == 2


# Merging


def test_a_chip_that_several_sources_list_is_one() -> None:
    driver = Reading(("driver",), 0, "0000:01:00.0", "n150", "a")
    smi = Reading(("tt-smi",), None, "0000:01:00.0", "n150 L", "a", temperature_c=40.0)
    umd = Reading(("tt_umd",), 0, "0000:01:00.0", architecture="wormhole")
    (merged,) = merge_sources((driver,), (smi,), (umd,))
    assert merged.sources == ("driver", "tt-smi", "tt_umd")
    assert (merged.number, merged.card_type, merged.temperature_c) == (0, "n150", 40.0)


def test_the_number_tells_which_device_has_no_address() -> None:
    driver = [Reading(("driver",), n) for n in (0, 1)]
    umd = [Reading(("tt_umd",), n, f"0000:0{n + 5}:00.0") for n in (1, 0)]
    merged = merge_sources(driver, (), umd)
    assert [chip.bus_id for chip in merged] == ["0000:05:00.0", "0000:06:00.0"]


def test_the_serial_number_tells_where_the_driver_shows_no_address() -> None:
    driver = [Reading(("driver",), n, card_type="n150", serial=s) for n, s in ((0, "a"), (1, "b"))]
    smi = [Reading(("tt-smi",), None, f"0000:0{s}:00.0", "n150", s) for s in ("b", "a")]
    merged = merge_sources(driver, smi)
    assert [(chip.number, chip.bus_id) for chip in merged] == [
        (0, "0000:0a:00.0"), (1, "0000:0b:00.0"),
    ]  # fmt: skip


def test_a_remote_chip_never_takes_the_place_of_a_device() -> None:
    driver = (Reading(("driver",), 0, "0000:01:00.0", "n300", "a"),)
    far, near = (
        Reading(("tt-smi",), None, "", "n300 R", "a"),
        Reading(("tt-smi",), None, "0000:01:00.0", "n300 L", "a", clock_mhz=500),
    )
    first, second = merge_sources(driver, (far, near))
    assert (first.number, first.clock_mhz) == (0, 500)
    assert (second.number, second.card_type) == (None, "n300 R")
    assert len(boards_of((first, second))) == 1


def test_devices_without_any_mark_are_paired_where_that_is_certain() -> None:
    driver = [Reading(("driver",), 0), Reading(("driver",), 1)]
    smi = [Reading(("tt-smi",), None, f"0000:0{n}:00.0", "n150", f"s{n}") for n in (1, 2)]
    assert [card.name for card in boards_of(merge_sources(driver, smi))] == ["n150:0", "n150:1"]
    assert len(merge_sources(driver, smi[:1])) == 3, "which one is not certain: none is lost"


def test_cards_that_only_a_tool_lists_are_listed() -> None:
    cards = boards_of(merge_sources((), (), (Reading(("tt_umd",), 2, architecture="blackhole"),)))
    assert (cards[0].name, cards[0].numbers, cards[0].architecture) == (
        "unknown:0", (2,), "blackhole",
    )  # fmt: skip
