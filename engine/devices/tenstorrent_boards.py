"""From readings of chips to the cards that a person has plugged in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from engine.devices.card import Device, load_cards
from engine.devices.tenstorrent_reading import Reading

# How names of card types begin, in the driver's and in tt-smi's words, and their entry in the
# card table.
_CARD_TYPES = (
    ("galaxy-wormhole", "galaxy"), ("tt-galaxy-wh", "galaxy"), ("wh_4u", "galaxy"),
    ("n150", "n150"), ("n300", "n300"), ("p100", "p100"), ("p150", "p150"), ("p300", "p300c"),
)  # fmt: skip
# PCIe devices of one board, where that is not one: an n300 has one for its two chips.
_PCI_DEVICES = {"p300c": 2, "galaxy": 32}
_T3K, _T3K_MEMBER, _T3K_BOARDS = "t3k", "n300", 4
_SIDE = re.compile(r"\s+(?:l|r|left|right|local|remote)$", re.IGNORECASE)


@dataclass(frozen=True)
class PresentCard:
    """A Tenstorrent card in this computer.

    Attributes:
        name: as a run names it: the table's entry and a number, n150:0.
        card: the entry of the card table; None for a type that it does not know.
        card_type: what the driver calls it, such as p150b.
        serial: of the board; empty where it is not told, or where there are several.
        numbers: N of each /dev/tenstorrent/N that belongs to the board.
        chips: chips on the board.
        clock_mhz, firmware: as far as they are told; the fastest chip's clock.
        bus_ids: PCI addresses of its devices.
        architecture: wormhole, blackhole, or empty where it is not known.
        temperature_c: of its hottest chip.
        power_w: of all its chips that tell.
        sources: who listed it: driver, tt-smi, tt_umd.
        notes: what could not be read, in words.
        members: names of the cards that make up this one (the four n300 of a T3K).
        part_of: name of the larger one that this card belongs to.
    """

    name: str
    card: Device | None
    card_type: str
    serial: str
    numbers: tuple[int, ...]
    chips: int
    clock_mhz: int | None = None
    firmware: str = ""
    bus_ids: tuple[str, ...] = ()
    architecture: str = ""
    temperature_c: float | None = None
    power_w: float | None = None
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    part_of: str = ""


def merge_sources(*sources: Sequence[Reading]) -> tuple[Reading, ...]:
    """The chips of all sources, each once. A later source only fills the gaps of earlier ones.

    Two readings are of one chip if they have the same PCI address, else the same device number,
    else the same board's serial number and not both a PCI address. Devices that the driver shows
    without address and serial number are paired in order if as many are left on both sides.
    """
    chips: list[Reading] = []
    for source in sources:
        chips = _merged(chips, source)
    return tuple(chips)


def _merged(chips: list[Reading], source: Sequence[Reading]) -> list[Reading]:
    merged, taken, left = list(chips), set[int](), list(source)
    for same in (_same_address, _same_number, _same_board):
        rest = []
        for reading in left:
            at = next(
                (i for i, chip in enumerate(chips) if i not in taken and same(chip, reading)), None
            )
            if at is None:
                rest.append(reading)
            else:
                taken.add(at)
                merged[at] = merged[at].filled_by(reading)
        left = rest
    nameless = [
        i for i, chip in enumerate(chips) if i not in taken and not (chip.bus_id or chip.serial)
    ]
    addressed = [reading for reading in left if reading.bus_id]
    if nameless and len(nameless) == len(addressed):
        for at, reading in zip(nameless, addressed, strict=True):
            merged[at] = merged[at].filled_by(reading)
        left = [reading for reading in left if not reading.bus_id]
    return merged + left


def _same_address(chip: Reading, reading: Reading) -> bool:
    return bool(chip.bus_id) and chip.bus_id == reading.bus_id


def _same_number(chip: Reading, reading: Reading) -> bool:
    one_address = not (chip.bus_id and reading.bus_id)
    return chip.number is not None and chip.number == reading.number and one_address


def _same_board(chip: Reading, reading: Reading) -> bool:
    one_address = not (chip.bus_id and reading.bus_id)
    return bool(chip.serial) and chip.serial == reading.serial and one_address


def boards_of(chips: Sequence[Reading]) -> tuple[PresentCard, ...]:
    """The cards that these chips sit on, numbered by kind in the order in which they are listed.

    Chips with one serial number are one board, as far as a board of that kind has room; all chips
    of a Galaxy are one. Four n300 are a T3K, listed before them and made up of them.
    """
    boards: list[_Board] = []
    for chip in chips:
        home = next((board for board in boards if board.has_room_for(chip)), None)
        if home is None:
            boards.append(_Board(table_entry(chip.card_type), [chip]))
        else:
            home.chips.append(chip)
    counts: dict[str, int] = {}
    cards = []
    for board in boards:
        kind = board.card.name if board.card is not None else "unknown"
        index = counts[kind] = counts.get(kind, -1) + 1
        cards.append(board.present(f"{kind}:{index}"))
    return _with_t3k(cards)


def table_entry(card_type: str) -> Device | None:
    """The card table's entry for a type in the driver's or tt-smi's words; None: not in it."""
    said = card_type.lower()
    wanted = next((name for start, name in _CARD_TYPES if said.startswith(start)), None)
    return next((card for card in load_cards() if card.name == wanted), None)


@dataclass
class _Board:
    card: Device | None
    chips: list[Reading] = field(default_factory=list)

    def has_room_for(self, chip: Reading) -> bool:
        """Whether the chip is one of this board's."""
        serial = self.chips[0].serial
        same_serial = bool(serial) and serial == chip.serial
        if chip.card_type and table_entry(chip.card_type) != self.card:
            return False
        if self.card is None:
            return same_serial
        is_galaxy = self.card.name == "galaxy" and bool(chip.card_type)
        if not (same_serial or is_galaxy) or len(self.chips) >= self.card.chips:
            return False
        devices = sum(map(_is_device, self.chips)) + _is_device(chip)
        return devices <= _PCI_DEVICES.get(self.card.name, 1)

    def present(self, name: str) -> PresentCard:
        """The card, with what its chips tell together."""
        first, card = self.chips[0], self.card
        # The second chip of an n300 has no device of its own, and need not be listed.
        chips = card.chips if card is not None and card.name == "n300" else len(self.chips)
        card_type = next((chip.card_type for chip in self.chips if chip.card_type), "")
        temperatures = _told(chip.temperature_c for chip in self.chips)
        serials = {chip.serial for chip in self.chips}
        return PresentCard(
            name=name,
            card=card,
            card_type=_SIDE.sub("", card_type) or "unknown",
            serial=first.serial if len(serials) == 1 else "",
            numbers=tuple(chip.number for chip in self.chips if chip.number is not None),
            chips=chips,
            clock_mhz=_fastest(self.chips),
            firmware=next((chip.firmware for chip in self.chips if chip.firmware), ""),
            bus_ids=tuple(chip.bus_id for chip in self.chips if chip.bus_id),
            architecture=_architecture(card, card_type) or first.architecture,
            temperature_c=max(temperatures, default=None),
            power_w=_sum(_told(chip.power_w for chip in self.chips)),
            sources=tuple(dict.fromkeys(s for chip in self.chips for s in chip.sources)),
            notes=self._notes(card_type, chips),
        )

    def _notes(self, card_type: str, chips: int) -> tuple[str, ...]:
        notes = list(dict.fromkeys(note for chip in self.chips for note in chip.notes))
        if self.card is None:
            unlisted = f"the type {card_type} is not in the card table"
            notes.append(unlisted if card_type else "its type is not told")
        elif chips < self.card.chips:
            notes.append(f"{chips} of its {self.card.chips} chips are seen")
        powers = len(_told(chip.power_w for chip in self.chips))
        if 0 < powers < chips:
            notes.append(f"power is told by {powers} of {chips} chips")
        return tuple(notes)


def _is_device(chip: Reading) -> bool:
    return chip.number is not None or bool(chip.bus_id)


def _told(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _fastest(parts: Sequence[Reading] | Sequence[PresentCard]) -> int | None:
    return max((part.clock_mhz for part in parts if part.clock_mhz is not None), default=None)


def _sum(powers: list[float]) -> float | None:
    return round(sum(powers), 3) if powers else None


def _architecture(card: Device | None, card_type: str) -> str:
    if card is not None:
        return "blackhole" if card.name.startswith("p") else "wormhole"
    return next((name for name in ("wormhole", "blackhole") if name in card_type.lower()), "")


def _with_t3k(cards: list[PresentCard]) -> tuple[PresentCard, ...]:
    """A T3K before its four n300, where this computer has exactly four."""
    members = [card for card in cards if card.name.startswith(f"{_T3K_MEMBER}:")]
    entry = next((card for card in load_cards() if card.name == _T3K), None)
    if len(members) != _T3K_BOARDS or entry is None:
        return tuple(cards)
    name = f"{_T3K}:0"
    firmwares = dict.fromkeys(card.firmware for card in members if card.firmware)
    whole = PresentCard(
        name=name,
        card=entry,
        card_type=f"{_T3K_BOARDS} × {_T3K_MEMBER}",
        serial="",
        numbers=tuple(number for card in members for number in card.numbers),
        chips=sum(card.chips for card in members),
        clock_mhz=_fastest(members),
        firmware=", ".join(firmwares),
        bus_ids=tuple(bus for card in members for bus in card.bus_ids),
        architecture="wormhole",
        temperature_c=max(_told(card.temperature_c for card in members), default=None),
        power_w=_sum(_told(card.power_w for card in members)),
        sources=tuple(dict.fromkeys(s for card in members for s in card.sources)),
        notes=("its boards have different firmware",) if len(firmwares) > 1 else (),
        members=tuple(card.name for card in members),
    )
    listed = [replace(card, part_of=name) if card in members else card for card in cards]
    first = cards.index(members[0])
    return (*listed[:first], whole, *listed[first:])
