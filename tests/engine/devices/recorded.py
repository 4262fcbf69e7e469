"""Cards as the driver's files and tt-smi show them, written down for the tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

BIN = "/usr/bin:/bin"

Attributes = Mapping[str, str | bytes]
Chip = dict[str, object]


def driver_tree(home: Path, devices: Mapping[int, Attributes]) -> Path:
    """The driver's class folder with these devices.

    ``bus_id`` makes the link to the PCI device, ``temp1_input`` and ``power1_input`` the files of
    its hwmon folder; everything else is an attribute of the driver.
    """
    root = home / "class"
    root.mkdir(parents=True, exist_ok=True)
    for number, attributes in devices.items():
        folder = root / f"tenstorrent!{number}"
        folder.mkdir()
        pci = home / "devices" / str(attributes.get("bus_id", f"pci{number}"))
        (pci / "hwmon" / "hwmon3").mkdir(parents=True)
        if "bus_id" in attributes:
            (folder / "device").symlink_to(pci)
        for name, text in attributes.items():
            if name == "bus_id":
                continue
            place = pci / "hwmon" / "hwmon3" if name.endswith("_input") else folder
            content = text if isinstance(text, bytes) else f"{text}\n".encode()
            (place / name).write_bytes(content)
    return root


def device(card_type: str, serial: str, bus: int, **more: str) -> dict[str, str]:
    """A device of the driver with what tt-kmd shows of it."""
    return {
        "tt_card_type": card_type, "tt_serial": serial, "bus_id": f"0000:{bus:02x}:00.0",
        "tt_aiclk": "1000", "tt_fw_bundle_ver": "18.7.0.0", "tt_heartbeat": "123",
        "tt_asic_id": f"0x{bus:016x}", "temp1_input": "45500", "power1_input": "23000000", **more,
    }  # fmt: skip


def chip(board_type: str, serial: str, bus: int | None, **telemetry: str) -> Chip:
    """A chip of tt-smi's snapshot; ``bus`` is None for one that is reached through another."""
    told = {
        "voltage": "0.72", "current": " 18.0", "power": " 13.0", "aiclk": " 500",
        "asic_temperature": "41.2", "heartbeat": "7531", **telemetry,
    }  # fmt: skip
    return {
        "smbus_telem": {"BOARD_ID": f"0x{serial}", "TIMER_HEARTBEAT": None},
        "board_info": {
            "bus_id": "N/A" if bus is None else f"0000:{bus:02x}:00.0", "board_type": board_type,
            "board_id": serial, "coords": "(0, 0, 0, 0)", "dram_status": True,
            "dram_speed": "12G", "pcie_speed": 4, "pcie_width": "16",
        },
        "telemetry": told,
        "firmwares": {"cm_fw": "2.28.0.0", "fw_bundle_version": "18.7.0.0"},
        "limits": {"tdp_limit": "160"},
    }  # fmt: skip


def snapshot(*chips: object) -> str:
    """What ``tt-smi -s --snapshot_no_tty`` prints of these chips."""
    return json.dumps({
        "time": "2026-01-02T03:04:05", "host_info": {"OS": "Linux"},
        "host_sw_vers": {"tt_smi": "3.0.30"}, "device_info": list(chips),
    }, indent=4)  # fmt: skip


def program(folder: Path, name: str, script: str) -> Path:
    """A real program: a shell script of this name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def smi_printing(folder: Path, text: str) -> Path:
    """A tt-smi that prints ``text``, if it is asked for a snapshot, and ends."""
    (folder / "answer.json").parent.mkdir(parents=True, exist_ok=True)
    (folder / "answer.json").write_text(text, encoding="utf-8")
    return program(
        folder, "tt-smi",
        f'[ "$*" = "-s --snapshot_no_tty" ] || exit 64\nexec cat "{folder}/answer.json"',
    )  # fmt: skip


def on_path(setenv: Callable[[str, str], None], folder: Path) -> None:
    """Put ``folder`` first among the places of programs."""
    setenv("PATH", os.pathsep.join((str(folder), BIN)))
