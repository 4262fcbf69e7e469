"""The devices that a design can be looked at on: this computer's, and every card of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine.devices.card import Device, card_name, load_cards
from engine.devices.host import cpu_device, host_devices
from engine.devices.simulator import SOURCE
from engine.devices.tenstorrent import discover, present_cards
from engine.devices.tenstorrent_boards import PresentCard
from engine.words import binary_bytes
from trickster_gui.controls.search_list import Entry

# Less free memory more or less is not worth a new verdict on every design.
_NOTICED = 256 << 20
CARDS, HERE, NOT_HERE = "Tenstorrent cards", "In this computer", "Not here: cost only"


@dataclass(frozen=True)
class Surroundings:
    """What this computer has. ``complete`` is False until its GPUs have answered.

    ``problems`` says which tools could not be asked about Tenstorrent's cards, and why.
    """

    host: tuple[Device, ...]
    cards: tuple[PresentCard, ...] = ()
    complete: bool = True
    problems: tuple[str, ...] = ()

    def all_devices(self) -> tuple[Device, ...]:
        """What costs are shown for: this computer's devices, then the table of cards."""
        return (*self.host, *load_cards())

    def is_here(self, name: str) -> bool:
        """Whether a run can go to the device of this name."""
        names = {"auto", "cuda"} if self._has_gpu() else {"auto"}
        names |= {device.name for device in self.host} | {card.name for card in self.cards}
        return name in names or any(card.name.split(":")[0] == name for card in self.cards)

    def title(self, name: str) -> str:
        """What to call a device; ``auto`` is followed by what it comes to."""
        if name == "auto":
            return f"Automatic: {self._automatic().title}"
        return self.device(name).title

    def device(self, name: str) -> Device:
        """The device that a run calls ``name``; what nobody knows has its name and no figures."""
        if name == "auto":
            return self._automatic()
        listed = [*self.all_devices(), *(card.card for card in self.cards if card.card)]
        base = name.split(":", maxsplit=1)[0]
        found = next((d for d in listed if d.name == name), None)
        return found or next((d for d in listed if d.name == base), None) or _unknown(name)

    def short_title(self, name: str) -> str:
        """The name of a device for a small button."""
        device = self._automatic().name if name == "auto" else name
        return (
            device.upper() if device.split(":")[0] in ("cpu", "cuda", "mps") else self.title(name)
        )

    def _has_gpu(self) -> bool:
        return any(device.kind == "cuda" for device in self.host)

    def _automatic(self) -> Device:
        for kind in ("cuda", "mps", "cpu"):
            for device in self.host:
                if device.kind == kind:
                    return device
        return _unknown("cpu")


def _unknown(name: str) -> Device:
    return Device(name, name, "cpu", 1, None, None)


def quick_surroundings() -> Surroundings:
    """What can be told at once, without asking any driver."""
    return Surroundings((cpu_device(),), (), complete=False)


def full_surroundings() -> Surroundings:
    """Everything that drivers show; one may take seconds, so this belongs into the background."""
    return Surroundings(host_devices(), present_cards())


def with_tools_asked(around: Surroundings, stop: Callable[[], bool]) -> Surroundings:
    """The same with all that Tenstorrent's tools tell of cards; they may take half a minute.

    ``stop`` is asked meanwhile from the thread that this runs in, and ends the wait.
    """
    found = discover(stop=stop)
    return replace(around, cards=found.cards, problems=found.problems)


def with_free_memory(around: Surroundings, free_bytes: int) -> Surroundings:
    """The same with so much main memory free now; itself where that hardly makes a difference."""
    host = tuple(_with_free(device, free_bytes) for device in around.host)
    return around if host == around.host else replace(around, host=host)


def _with_free(device: Device, free_bytes: int) -> Device:
    if device.kind not in ("cpu", "mps") or device.free_bytes is None:
        return device
    free = min(free_bytes, device.memory_bytes or free_bytes)
    return device if abs(free - device.free_bytes) < _NOTICED else replace(device, free_bytes=free)


def device_entries(
    around: Surroundings, chosen: str, state_of: Callable[[str], str] = lambda name: ""
) -> list[Entry]:
    """The list of the device picker: the cards that are here first, each with its state."""
    entries = [_card_entry(card, state_of(card.name), chosen) for card in around.cards]
    entries.append(Entry("auto", around.title("auto"), section=HERE, current=chosen == "auto"))
    entries += [_entry(device, device.name, HERE, chosen) for device in around.host]
    present = {card.card.name for card in around.cards if card.card is not None}
    absent: Sequence[Device] = [card for card in load_cards() if card.name not in present]
    return entries + [_entry(device, device.name, NOT_HERE, chosen) for device in absent]


def _card_entry(card: PresentCard, state: str, chosen: str) -> Entry:
    """A card that is here. One that the card table does not know can be seen, not chosen."""
    told = (
        "simulated" if card.sources == (SOURCE,) else "",
        state,
        f"part of {card.part_of}" if card.part_of else "",
        "" if card.temperature_c is None else f"{card.temperature_c:.0f} °C",
        "" if card.power_w is None else f"{card.power_w:.0f} W",
        *(() if card.card is not None else card.notes),
    )
    title = card.card.title if card.card is not None else f"Card of type {card.card_type}"
    memory = card.card.printed_memory if card.card is not None else ""
    return Entry(
        card.name, f"{title} · {card.name}", " · ".join(part for part in told if part), memory,
        CARDS, enabled=card.card is not None, current=card_name(chosen) == card.name,
    )  # fmt: skip


def _entry(device: Device, name: str, section: str, chosen: str) -> Entry:
    memory = device.memory_bytes
    right = "" if memory is None else device.printed_memory or binary_bytes(memory)
    chips = f"{device.chips} chips with memory of their own" if device.chips > 1 else ""
    return Entry(name, device.title, chips, right, section, current=chosen == name)
