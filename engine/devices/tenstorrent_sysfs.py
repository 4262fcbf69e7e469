"""What the kernel driver shows of Tenstorrent cards: files, read without opening any device."""

from __future__ import annotations

import re
from pathlib import Path

from engine.devices.tenstorrent_reading import (
    Reading,
    clean_bus_id,
    clean_clock,
    clean_number,
    clean_serial,
    clean_text,
)

CLASS_FOLDER = Path("/sys/class/tenstorrent")
SOURCE = "driver"
_MOST_BYTES = 256
_MOST_DEVICES = 256


def driver_readings(root: Path = CLASS_FOLDER) -> tuple[Reading, ...]:
    """One reading for each device of the driver, in the order of their numbers."""
    return tuple(_reading(number, folder) for number, folder in _entries(root))


def _entries(root: Path) -> list[tuple[int, Path]]:
    """The driver's folders, named ``tenstorrent!N`` with a literal exclamation mark."""
    try:
        names = [path.name for path in root.iterdir()]
    except OSError:
        return []
    numbers = sorted(
        int(found[1])
        for name in names
        if (found := re.fullmatch(r"tenstorrent!(0|[1-9]\d{0,5})", name))
    )
    return [(number, root / f"tenstorrent!{number}") for number in numbers[:_MOST_DEVICES]]


def _reading(number: int, folder: Path) -> Reading:
    attributes = _Attributes(folder)
    monitor = _monitor(folder)
    temperature = attributes.number(monitor / "temp1_input", 1_000) if monitor else None
    power = attributes.number(monitor / "power1_input", 1_000_000) if monitor else None
    return Reading(
        sources=(SOURCE,),
        number=number,
        bus_id=_bus_id(folder),
        card_type=clean_text(attributes.text("tt_card_type")),
        serial=clean_serial(attributes.text("tt_serial")),
        firmware=clean_text(attributes.text("tt_fw_bundle_ver")),
        clock_mhz=clean_clock(attributes.text("tt_aiclk")),
        temperature_c=clean_number(temperature, "temperature"),
        power_w=clean_number(power, "power"),
        notes=tuple(attributes.notes),
    )


class _Attributes:
    """Reads attributes of one device; what is there and cannot be used becomes a note."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.notes: list[str] = []

    def text(self, name: str) -> str:
        """The text of an attribute, empty where it is missing or unusable."""
        return self._read(self._folder / name)

    def number(self, path: Path, unit: int) -> float | None:
        """A whole number in a file, divided by ``unit``."""
        text = self._read(path)
        return int(text) / unit if re.fullmatch(r"-?\d{1,12}", text) else None

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                found = file.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return ""
        except OSError as error:
            self.notes.append(f"the driver's {path.name} cannot be read: {error.strerror}")
            return ""
        try:
            text = found.decode("utf-8").strip()
        except UnicodeDecodeError:
            text = "\0"
        if len(found) > _MOST_BYTES or not text.isprintable():
            self.notes.append(f"the driver's {path.name} is no text that could be used")
            return ""
        return text


def _bus_id(folder: Path) -> str:
    """The PCI address: the name of the folder that the link ``device`` leads to."""
    try:
        return clean_bus_id((folder / "device").readlink().name)
    except OSError:
        return ""


def _monitor(folder: Path) -> Path | None:
    """The folder in which hwmon shows temperature and power of this device."""
    try:
        return min((folder / "device" / "hwmon").glob("hwmon*"), default=None)
    except OSError:
        return None
