"""The simulated chip that stands in for a card, where TT_METAL_SIMULATOR names one.

Which chip it is says the soc descriptor beside the simulator's file, from which tt-metal learns it
as well. It is shown as the card with one such chip, n150 or p150; real cards are not opened then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.devices.tenstorrent_boards import PresentCard, boards_of
from engine.devices.tenstorrent_reading import Reading

VARIABLE = "TT_METAL_SIMULATOR"
SOURCE = "simulator"
_DESCRIPTOR, _MOST_BYTES = "soc_descriptor.yaml", 1 << 20
_ARCHITECTURE = re.compile(r"^arch_name: *([A-Za-z0-9_]{1,32})\s*$", re.MULTILINE)
_CARDS = {"wormhole": "n150", "blackhole": "p150"}


@dataclass(frozen=True)
class Simulator:
    """What TT_METAL_SIMULATOR names: its file, the card that it stands in for (None: it cannot be
    told), and what is wrong, in words, empty where nothing is."""

    path: Path
    card: PresentCard | None
    problem: str = ""


def simulator(environment: Mapping[str, str] | None = None) -> Simulator | None:
    """The simulator that a worker would open; None where none is named. Reads one small file."""
    named = (os.environ if environment is None else environment).get(VARIABLE, "")
    if not named:
        return None
    path = Path(named)
    if not _is_there(path):
        return Simulator(path, None, f"{VARIABLE} names {named[:200]}, which does not exist")
    descriptor = path.with_name(_DESCRIPTOR)
    try:
        with descriptor.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        why = error.strerror or type(error).__name__
        return Simulator(path, None, f"{str(descriptor)[:200]} cannot be read: {why}")
    found = _ARCHITECTURE.search(text)
    architecture = found[1].lower().partition("_")[0] if found else ""
    if architecture not in _CARDS:
        said = architecture or "no arch_name"
        return Simulator(path, None, f"{str(descriptor)[:200]} has {said}: no chip known here")
    reading = Reading((SOURCE,), card_type=_CARDS[architecture], architecture=architecture)
    return Simulator(path, boards_of((reading,))[0])


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False
