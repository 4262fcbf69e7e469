"""What sources say is cleaned, and gaps of one reading are filled from another."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.devices.tenstorrent_reading import (
    Reading,
    clean_bus_id,
    clean_clock,
    clean_number,
    clean_serial,
    clean_text,
)

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
    st.lists(st.integers()), st.dictionaries(st.text(), st.text()),
    st.integers(4_000, 6_000).map(lambda digits: 10**digits),
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" n300 L ", "n300 L"), (18, "18"), ("N/A", ""), ("None", ""), ("", ""), (None, ""),
        (True, ""), (["n150"], ""), ("a\nb", ""), ("x" * 65, ""), ("\ufffd", ""),
    ],
)  # fmt: skip
def test_texts(value: object, text: str) -> None:
    assert clean_text(value) == text


def test_a_number_of_thousands_of_digits_is_no_text() -> None:
    assert clean_text(10**5_000) == ""


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("0000:01:00.0", "0000:01:00.0"), ("01:00.0", "0000:01:00.0"),
        ("00000000:C1:00.0", "0000:c1:00.0"), ("N/A", ""), ("0000:01:00", ""), ("../../x", ""),
    ],
)  # fmt: skip
def test_pci_addresses(value: object, address: str) -> None:
    assert clean_bus_id(value) == address


@pytest.mark.parametrize(
    ("value", "serial"),
    [
        ("0100018611902010", "0100018611902010"), ("0x0100018611902010", "0100018611902010"),
        ("010001861190ABCD", "010001861190abcd"), ("0x0", ""), ("0000000000000000", ""),
        ("a b", ""), ("-", ""), (None, ""),
    ],
)  # fmt: skip
def test_serial_numbers_read_alike_from_every_source(value: object, serial: str) -> None:
    assert clean_serial(value) == serial


@pytest.mark.parametrize(
    ("value", "clock"),
    [("1000", 1_000), (" 500", 500), ("1350 MHz", 1_350), ("fast", None), ("0", None),
     ("-5", None), ("99999999", None), (math.nan, None), (None, None)],
)  # fmt: skip
def test_clocks(value: object, clock: int | None) -> None:
    assert clean_clock(value) == clock


def test_temperatures_and_powers_beyond_reason_are_not_told() -> None:
    assert clean_number("41.2", "temperature") == 41.2
    assert clean_number("-20", "temperature") == -20
    assert clean_number("65535", "temperature") is None
    assert clean_number(" 13.0", "power") == 13
    assert clean_number("-1", "power") is None
    assert clean_number("1e400", "power") is None


@given(ANYTHING)
def test_nothing_that_a_source_says_raises(value: object) -> None:
    for clean in (clean_text, clean_bus_id, clean_serial):
        assert len(clean(value)) <= 64
    for kind in ("clock", "temperature", "power"):
        number = clean_number(value, kind)
        assert number is None or math.isfinite(number)


def test_a_later_source_fills_gaps_and_changes_nothing() -> None:
    driver = Reading(("driver",), number=0, card_type="n150", serial="1", clock_mhz=1_000)
    tool = Reading(
        ("tt-smi",), bus_id="0000:01:00.0", card_type="n150 L", serial="2", clock_mhz=500,
        temperature_c=40.5, power_w=0.0, firmware="18.7.0.0",
    )  # fmt: skip
    merged = driver.filled_by(tool)
    assert merged.sources == ("driver", "tt-smi")
    assert (merged.number, merged.bus_id, merged.card_type) == (0, "0000:01:00.0", "n150")
    assert (merged.clock_mhz, merged.temperature_c, merged.power_w) == (1_000, 40.5, 0.0)
    assert merged.firmware == "18.7.0.0"
    assert merged.serial == "1"
    assert merged.notes == ("tt-smi says another serial number: 2",)
