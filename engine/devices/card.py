"""A device that a model can be trained on, and the table of Tenstorrent's cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from engine.resource_files import ResourceError, read_resource_yaml

DeviceKind = Literal["card", "cpu", "cuda", "mps"]
_TABLE = "cards.yaml"


@dataclass(frozen=True)
class Device:
    """A card of the table, or a device of this computer. None stands for: not published, unknown.

    Attributes:
        name: as a run names it: n150, p300c, cpu, cuda:0, mps.
        chips: processors with memory of their own; a copy of the model goes on each.
        memory_bytes: memory of all chips together.
        chip_memory_bytes: memory of one chip: what one copy of a model must fit.
        bandwidth_bytes_s: memory bandwidth of all chips together.
        tflops: peak dense 10¹² FLOP/s of all chips by number format (fp32, fp16, fp8, blockfp8).
        source: where the figures are from.
        computed: fields that no page prints: worked out from those of other cards.
        tensix_cores, sram_bytes: of all chips, for Tenstorrent's cards.
        banks: that the memory of one of their chips is divided into; 0 for other devices.
        printed_memory: memory as the data sheet prints it, such as ``12 GB``.
        utilisation: part of the peak that training reaches: low, likely, high.
        utilisation_source: what these are based on.
        host_operation_s: what the host takes to start one operation of our graph: low, likely,
            high; None where that is not counted.
        host_operation_source: what these are based on.
        overhead_bytes: what the process and the driver take of the memory beside all tensors.
        free_bytes: what was free when the device was asked, other programs' memory left out; None
            where that is not known (cards, which hold nothing while nobody uses them).
        allocator_slack: part of a step's peak that the allocator may hold beyond it, at worst;
        allocator_slack_bytes: but no more than so many bytes.
    """

    name: str
    title: str
    kind: DeviceKind
    chips: int
    memory_bytes: int | None
    chip_memory_bytes: int | None
    bandwidth_bytes_s: int | None = None
    tflops: Mapping[str, float | None] = field(default_factory=dict, hash=False)
    source: str = ""
    notes: str = ""
    computed: tuple[str, ...] = ()
    tensix_cores: int | None = None
    sram_bytes: int | None = None
    printed_memory: str = ""
    utilisation: tuple[float, float, float] | None = None
    utilisation_source: str = ""
    host_operation_s: tuple[float, float, float] | None = None
    host_operation_source: str = ""
    overhead_bytes: int = 0
    free_bytes: int | None = None
    allocator_slack: float = 0.0
    allocator_slack_bytes: int = 0
    banks: int = 0


@lru_cache(maxsize=1)
def load_cards() -> tuple[Device, ...]:
    """All cards of resources/cards.yaml. Raises ResourceError where the file is damaged."""
    table = read_resource_yaml(_TABLE)
    try:
        return tuple(_card(entry, table) for entry in table["cards"])
    except (KeyError, TypeError, ValueError) as error:
        raise ResourceError(f"resources/{_TABLE} is damaged: {error!r}") from error


# What the table calls a figure, and the field of Device that holds it.
_FIELDS = {
    "dram_gb": "memory_bytes",
    "bandwidth_gb_s": "bandwidth_bytes_s",
    "sram_mb": "sram_bytes",
}


def _card(entry: Mapping[str, Any], table: Mapping[str, Any]) -> Device:
    chips, chip_memory = int(entry["chips"]), int(entry["chip_memory_bytes"])
    low, likely, high = table["utilisation"]
    quick, usual, slow = (number / 1e6 for number in table["host_operation_us"])
    notes = f"{entry.get('notes', '')} Memory: {table['memory_source']}.".strip()
    return Device(
        name=entry["name"],
        title=entry["title"],
        kind="card",
        chips=chips,
        memory_bytes=chips * chip_memory,
        chip_memory_bytes=chip_memory,
        bandwidth_bytes_s=_scaled(entry["bandwidth_gb_s"], 10**9),
        tflops=dict(entry["tflops"]),
        source=entry["source"],
        notes=notes,
        computed=tuple(_FIELDS.get(name, name) for name in entry.get("computed", ())),
        tensix_cores=entry["tensix_cores"],
        sram_bytes=_scaled(entry["sram_mb"], 10**6),
        printed_memory=f"{entry['dram_gb']} GB",
        utilisation=(low, likely, high),
        utilisation_source=table["utilisation_source"],
        host_operation_s=(quick, usual, slow),
        host_operation_source=table["host_operation_source"],
        overhead_bytes=int(entry["banks"]) * int(entry["reserved_bank_bytes"]),
        banks=int(entry["banks"]),
    )


def _scaled(number: int | None, factor: int) -> int | None:
    return None if number is None else number * factor


@lru_cache(maxsize=256)
def card_name(name: str) -> str:
    """The full name of a card that ``name`` means, such as n150:0 for n150; empty: no card."""
    base, _, number = name.strip().lower().partition(":")
    if not any(card.name == base for card in load_cards()):
        return ""
    number = number or ("" if name.strip().endswith(":") else "0")
    return f"{base}:{int(number)}" if number.isascii() and number.isdigit() else ""


def chips_of(name: str) -> int:
    """Chips of the card that ``name`` means; 1 for what is no card."""
    base = card_name(name).partition(":")[0]
    return next((card.chips for card in load_cards() if card.name == base), 1)
