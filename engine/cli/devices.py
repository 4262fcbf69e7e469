"""``devices``: what this computer has, and the cards that costs are worked out for."""

from __future__ import annotations

import argparse
import dataclasses
import json

from engine.cli.table import table
from engine.devices.card import Device, load_cards
from engine.devices.host import gpu_problem, host_devices
from engine.devices.tenstorrent import Discovery, discover
from engine.devices.tenstorrent_boards import PresentCard
from engine.words import binary_bytes

HELP = "list this computer's devices and the card table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--json only."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Print the devices."""
    here, found, problem = host_devices(), discover(), gpu_problem()
    if arguments.json:
        print(json.dumps(_document(here, found, problem), indent=2))
    else:
        print(_report(here, found, problem))
    return 0


def _document(here: tuple[Device, ...], found: Discovery, problem: str) -> dict[str, object]:
    return {
        "devices": [_plain(device) for device in here],
        "present_cards": [
            dataclasses.asdict(dataclasses.replace(card, card=None))
            | {"card": None if card.card is None else card.card.name}
            for card in found.cards
        ],
        "problem": problem or None,
        "card_problems": list(found.problems),
        "cards": [_plain(card) for card in load_cards()],
    }


def _plain(device: Device) -> dict[str, object]:
    return dataclasses.asdict(device) | {"tflops": dict(device.tflops)}


def _report(here: tuple[Device, ...], found: Discovery, problem: str) -> str:
    rows = [
        [device.name, device.title, _memory(device), f"from {device.source}"] for device in here
    ]
    lines = ["This computer", table(rows, "<<><")]
    if problem:
        lines.append(f"NVIDIA GPUs could not be listed: {problem}")
    lines += [line for card in found.cards for line in _present(card)]
    if not found.cards:
        lines.append(
            "No Tenstorrent card: neither the kernel driver nor a tool of theirs shows one."
        )
    lines += [f"Not all could be asked about cards: {said}" for said in found.problems]
    lines += ["", "Tenstorrent's cards (* computed from other cards, ? not published)"]
    header = ("name", "card", "chips", "Tensix", "memory", "a chip", "GB/s",
              "FP8", "FP16", "BLOCKFP8 TFLOPS")  # fmt: skip
    lines.append(table([_card_row(card) for card in load_cards()], "<<>>>>>>>>", header))
    lines += ["", f"Memory of a chip: {load_cards()[0].notes.partition('Memory: ')[2]}"]
    lines += [f"{card.name}: {card.source}" for card in load_cards()]
    return "\n".join(lines)


def _memory(device: Device) -> str:
    return "?" if device.memory_bytes is None else binary_bytes(device.memory_bytes)


def _present(card: PresentCard) -> list[str]:
    devices = ", ".join(f"/dev/tenstorrent/{number}" for number in card.numbers)
    facts = (
        card.card_type,
        f"{card.chips} chip{'s' if card.chips != 1 else ''}",
        f"made up of {', '.join(card.members)}" if card.members else devices,
        "" if card.clock_mhz is None else f"{card.clock_mhz} MHz",
        "" if card.temperature_c is None else f"{card.temperature_c:.0f} °C",
        "" if card.power_w is None else f"{card.power_w:.0f} W",
        f"firmware {card.firmware}" if card.firmware else "",
        f"serial {card.serial}" if card.serial else "",
        f"from {' and '.join(card.sources)}" if card.sources else "",
    )
    line = f"{card.name}: {', '.join(fact for fact in facts if fact)}"
    indent = "  " if card.part_of else ""
    return [indent + line, *(f"{indent}  {note}" for note in card.notes)]


def _card_row(card: Device) -> list[str]:
    bandwidth = None if card.bandwidth_bytes_s is None else card.bandwidth_bytes_s // 10**9
    chip = "?" if card.chip_memory_bytes is None else binary_bytes(card.chip_memory_bytes)
    star = {name: "*" if name in card.computed else "" for name in
            ("tensix_cores", "memory_bytes", "bandwidth_bytes_s", "tflops")}  # fmt: skip
    return [
        card.name,
        card.title,
        str(card.chips),
        _known(card.tensix_cores, star["tensix_cores"]),
        card.printed_memory + star["memory_bytes"],
        chip,
        _known(bandwidth, star["bandwidth_bytes_s"]),
        *(_known(card.tflops.get(f), star["tflops"]) for f in ("fp8", "fp16", "blockfp8")),
    ]


def _known(figure: float | None, star: str) -> str:
    return "?" if figure is None else f"{figure:,g}{star}"
