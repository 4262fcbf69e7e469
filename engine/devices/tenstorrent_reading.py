"""What one source tells of one Tenstorrent chip, cleaned, and how several such readings merge.

Nothing that a source says is trusted: any value may be missing, of another type, no text, or
absurd. Such a value is treated as not told.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

_MOST_TEXT = 64
_NOTHING = frozenset(("", "n/a", "na", "none", "null", "unknown", "-"))
_BUS_ID = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")
_SERIAL = re.compile(r"(?:0x)?[0-9a-z][0-9a-z-]{0,31}")
_NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d{1,9})?")
_SANE = {"clock": (1, 10_000), "temperature": (-60, 200), "power": (0, 5_000)}


@dataclass(frozen=True)
class Reading:
    """One chip as one source, or several merged ones, describe it. Empty or None: not told.

    Attributes:
        sources: who told it: driver, tt-smi, tt_umd.
        number: N of /dev/tenstorrent/N; None for a chip behind another one.
        bus_id: PCI address such as 0000:01:00.0.
        card_type: what the source calls the card, such as ``n300 L`` or ``p150b``.
        serial: of the board.
        architecture: wormhole or blackhole, where the type of card is not told.
        clock_mhz, temperature_c, power_w, firmware: as far as they are told.
        notes: what could not be read, in words.
    """

    sources: tuple[str, ...]
    number: int | None = None
    bus_id: str = ""
    card_type: str = ""
    serial: str = ""
    architecture: str = ""
    firmware: str = ""
    clock_mhz: int | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    notes: tuple[str, ...] = ()

    def filled_by(self, later: Reading) -> Reading:
        """This reading with its gaps filled from ``later``; what is known already stays."""
        notes = [*self.notes, *(note for note in later.notes if note not in self.notes)]
        for name, what in (("serial", "serial number"), ("bus_id", "PCI address")):
            mine, theirs = getattr(self, name), getattr(later, name)
            if mine and theirs and mine != theirs:
                notes.append(f"{' and '.join(later.sources)} says another {what}: {theirs}")
        return replace(
            self,
            sources=tuple(dict.fromkeys((*self.sources, *later.sources))),
            number=later.number if self.number is None else self.number,
            bus_id=self.bus_id or later.bus_id,
            card_type=self.card_type or later.card_type,
            serial=self.serial or later.serial,
            architecture=self.architecture or later.architecture,
            firmware=self.firmware or later.firmware,
            clock_mhz=later.clock_mhz if self.clock_mhz is None else self.clock_mhz,
            temperature_c=_first(self.temperature_c, later.temperature_c),
            power_w=_first(self.power_w, later.power_w),
            notes=tuple(notes),
        )


def _first(mine: float | None, theirs: float | None) -> float | None:
    return theirs if mine is None else mine


def clean_text(value: object) -> str:
    """A short text without control characters; empty where there is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    try:
        text = str(value).strip()
    except ValueError:  # an integer of thousands of digits
        return ""
    if len(text) > _MOST_TEXT or not text.isprintable() or "\ufffd" in text:
        return ""
    return "" if text.lower() in _NOTHING else text


def clean_bus_id(value: object) -> str:
    """A PCI address with its domain, in small letters; empty for anything else."""
    found = _BUS_ID.fullmatch(clean_text(value).lower())
    if found is None:
        return ""
    return f"{int(found[1] or '0', 16):04x}:{found[2]}:{found[3]}.{found[4]}"


def clean_serial(value: object) -> str:
    """A serial number as all sources write it: small letters, no ``0x``; empty for zeros."""
    text = clean_text(value).lower()
    if not _SERIAL.fullmatch(text):
        return ""
    text = text.removeprefix("0x")
    return text if text.strip("0") else ""


def clean_number(value: object, kind: str) -> float | None:
    """A clock (MHz), temperature (°C) or power (W); None where it is absurd or no number.

    ``1000 MHz`` counts as 1000.
    """
    if isinstance(value, float):
        number = value
    else:
        words = clean_text(value).split()
        if not words or not _NUMBER.fullmatch(words[0]):
            return None
        number = float(words[0])
    low, high = _SANE[kind]
    return number if math.isfinite(number) and low <= number <= high else None


def clean_clock(value: object) -> int | None:
    """A clock in whole MHz."""
    clock = clean_number(value, "clock")
    return None if clock is None else round(clock)
