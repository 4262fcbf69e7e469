"""What Tenstorrent's own tool ``tt-smi`` tells of the cards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from engine.devices.bounded_command import run_bounded
from engine.devices.tenstorrent_reading import (
    Reading,
    clean_bus_id,
    clean_clock,
    clean_number,
    clean_serial,
    clean_text,
)

PROGRAM = "tt-smi"
TIMEOUT_S = 15.0
_LIMIT_BYTES = 4 << 20
_MOST_CHIPS = 256


def smi_readings(stop: Callable[[], bool] = lambda: False) -> tuple[tuple[Reading, ...], str]:
    """One reading for each chip that tt-smi lists, and why that is not all (empty: it is).

    No tt-smi, no readings and no problem. The tool is killed where it hangs.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        return (), ""
    answer = run_bounded(
        (program, "-s", "--snapshot_no_tty"), timeout_s=TIMEOUT_S, limit_bytes=_LIMIT_BYTES,
        stop=stop,
    )  # fmt: skip
    if answer.problem:
        return (), answer.problem
    return parse_snapshot(answer.output.decode("utf-8", "replace"))


def parse_snapshot(text: str) -> tuple[tuple[Reading, ...], str]:
    """The chips of a snapshot, and what is wrong with it. Lines before the JSON are passed over."""
    start = text.find("{")
    if start < 0:
        return (), f"{PROGRAM} gave no JSON"
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return (), f"{PROGRAM} gave JSON that cannot be read"
    chips = found.get("device_info") if isinstance(found, dict) else None
    if not isinstance(chips, list):
        return (), f"{PROGRAM} gave JSON without device_info"
    usable = [chip for chip in chips[:_MOST_CHIPS] if isinstance(chip, dict)]
    left_out = len(chips) - len(usable)
    problem = f"{PROGRAM} lists {left_out} devices that cannot be read" if left_out else ""
    return tuple(_reading(chip) for chip in usable), problem


def _reading(chip: Mapping[str, Any]) -> Reading:
    board, telemetry, firmwares = (
        part if isinstance(part := chip.get(name), dict) else {}
        for name in ("board_info", "telemetry", "firmwares")
    )
    return Reading(
        sources=(PROGRAM,),
        bus_id=clean_bus_id(board.get("bus_id")),
        card_type=clean_text(board.get("board_type")),
        serial=clean_serial(board.get("board_id")),
        firmware=clean_text(firmwares.get("fw_bundle_version")),
        clock_mhz=clean_clock(telemetry.get("aiclk")),
        temperature_c=clean_number(telemetry.get("asic_temperature"), "temperature"),
        power_w=clean_number(telemetry.get("power"), "power"),
    )
