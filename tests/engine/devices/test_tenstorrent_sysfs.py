"""The driver's files, of which any may be missing or hold anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.devices.tenstorrent_sysfs import driver_readings
from tests.engine.devices.recorded import device, driver_tree


def test_everything_that_the_driver_shows(tmp_path: Path) -> None:
    (reading,) = driver_readings(driver_tree(tmp_path, {4: device("n150", "0x1a2b", 0xC1)}))
    assert reading.sources == ("driver",)
    assert (reading.number, reading.bus_id) == (4, "0000:c1:00.0")
    assert (reading.card_type, reading.serial) == ("n150", "1a2b")
    assert (reading.clock_mhz, reading.firmware) == (1_000, "18.7.0.0")
    assert (reading.temperature_c, reading.power_w) == (45.5, 23.0)
    assert reading.notes == ()


def test_devices_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    root = driver_tree(tmp_path, {number: {} for number in (10, 2, 1)})
    assert [reading.number for reading in driver_readings(root)] == [1, 2, 10]


def test_other_names_are_no_devices(tmp_path: Path) -> None:
    root = driver_tree(tmp_path, {})
    for name in ("tenstorrent!x", "tenstorrent!", "tenstorrent!01", "tenstorrent!-1", "tenstorrent",
                 "tenstorrent!9999999", "tenstorrent0", "tenstorrent!٣"):  # fmt: skip
        (root / name).mkdir()
    assert driver_readings(root) == ()


def test_a_missing_attribute_is_only_not_told(tmp_path: Path) -> None:
    (reading,) = driver_readings(driver_tree(tmp_path, {0: {}}))
    assert (reading.number, reading.card_type, reading.serial, reading.bus_id) == (0, "", "", "")
    assert (reading.clock_mhz, reading.temperature_c, reading.power_w) == (None, None, None)
    assert reading.notes == ()


@pytest.mark.parametrize("garbage", [b"\xff\xfe" * 50, b"x" * 5_000_000, b"a\x00b", b"two\nlines"])
def test_garbage_is_noted_and_the_rest_is_read(tmp_path: Path, garbage: bytes) -> None:
    entry: dict[str, str | bytes] = {**device("p150b", "7", 1), "tt_serial": garbage}
    (reading,) = driver_readings(driver_tree(tmp_path, {0: entry}))
    assert (reading.serial, reading.card_type) == ("", "p150b")
    assert reading.notes == ("the driver's tt_serial is no text that could be used",)


def test_an_attribute_that_is_no_file_is_noted(tmp_path: Path) -> None:
    root = driver_tree(tmp_path, {0: {"tt_card_type": "n150"}})
    (root / "tenstorrent!0" / "tt_aiclk").mkdir()
    (reading,) = driver_readings(root)
    assert reading.clock_mhz is None
    assert reading.notes == ("the driver's tt_aiclk cannot be read: Is a directory",)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_an_attribute_that_may_not_be_read_is_noted(tmp_path: Path) -> None:
    root = driver_tree(tmp_path, {0: {"tt_serial": "1"}})
    (root / "tenstorrent!0" / "tt_serial").chmod(0)
    assert "Permission denied" in driver_readings(root)[0].notes[0]


def test_no_driver_no_readings(tmp_path: Path) -> None:
    assert driver_readings(tmp_path / "missing") == ()
    (tmp_path / "file").write_text("x")
    assert driver_readings(tmp_path / "file") == ()


@given(content=st.binary(max_size=300))
def test_no_content_of_a_file_raises(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    names = ("tt_card_type", "tt_serial", "tt_aiclk", "tt_fw_bundle_ver", "temp1_input",
             "power1_input")  # fmt: skip
    home = tmp_path_factory.mktemp("tree")
    entry: dict[str, str | bytes] = {"bus_id": "0000:01:00.0", **dict.fromkeys(names, content)}
    assert len(driver_readings(driver_tree(home, {0: entry}))) == 1
