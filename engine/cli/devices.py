"""``devices``: what this computer has, and the cards that costs are worked out for."""

from __future__ import annotations

import argparse
import dataclasses
import json

from engine.cli.table import table
from engine.devices.card import Device, load_cards
from engine.devices.host import PresentCard, gpu_problem, host_devices, present_cards
from engine.words import binary_bytes

HELP = "list this computer's devices and the card table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--json only."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Print the devices."""
    here, present, problem = host_devices(), present_cards(), gpu_problem()
    if arguments.json:
        print(json.dumps(_document(here, present, problem), indent=2))
    else:
        print(_report(here, present, problem))
    return 0


def _document(
    here: tuple[Device, ...], present: tuple[PresentCard, ...], problem: str
) -> dict[str, object]:
    return {
        "devices": [_plain(device) for device in here],
        "present_cards": [
            {
                "name": card.name,
                "card": None if card.card is None else card.card.name,
                "card_type": card.card_type,
                "serial": card.serial,
                "numbers": list(card.numbers),
                "chips": card.chips,
                "clock_mhz": card.clock_mhz,
                "firmware": card.firmware,
            }
            for card in present
        ],
        "problem": problem or None,
        "cards": [_plain(card) for card in load_cards()],
    }


def _plain(device: Device) -> dict[str, object]:
    return dataclasses.asdict(device) | {"tflops": dict(device.tflops)}


def _report(here: tuple[Device, ...], present: tuple[PresentCard, ...], problem: str) -> str:
    rows = [
        [device.name, device.title, _memory(device), f"from {device.source}"] for device in here
    ]
    lines = ["This computer", table(rows, "<<><")]
    if problem:
        lines.append(f"NVIDIA GPUs could not be listed: {problem}")
    if present:
        lines.append("\n".join(_present(card) for card in present))
    else:
        lines.append("No Tenstorrent card: the kernel driver shows none.")
    lines += ["", "Tenstorrent's cards (* computed from other cards, ? not published)"]
    header = ("name", "card", "chips", "Tensix", "memory", "a chip", "GB/s",
              "FP8", "FP16", "BLOCKFP8 TFLOPS")  # fmt: skip
    lines.append(table([_card_row(card) for card in load_cards()], "<<>>>>>>>>", header))
    lines += ["", f"Memory of a chip: {load_cards()[0].notes.partition('Memory: ')[2]}"]
    lines += [f"{card.name}: {card.source}" for card in load_cards()]
    return "\n".join(lines)


def _memory(device: Device) -> str:
    return "?" if device.memory_bytes is None else binary_bytes(device.memory_bytes)


def _present(card: PresentCard) -> str:
    devices = ", ".join(f"/dev/tenstorrent/{number}" for number in card.numbers)
    clock = f", {card.clock_mhz} MHz" if card.clock_mhz is not None else ""
    serial = f", serial {card.serial}" if card.serial else ""
    return f"{card.name}: {card.card_type}, {card.chips} chip(s), {devices}{clock}{serial}"


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
