"""What Tenstorrent's user-mode driver tells of the cards, asked in a process of its own.

``tt_umd`` is native code that opens devices: it is imported by another interpreter, never here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.devices.bounded_command import run_bounded
from engine.devices.tenstorrent_reading import Reading, clean_bus_id, clean_text
from engine.devices.tenstorrent_smi import PROGRAM as TT_SMI

SOURCE = "tt_umd"
TIMEOUT_S = 8.0
_LIMIT_BYTES = 256 << 10
_MARK = "TRICKSTER "
_MOST_INTERPRETERS = 6
_MOST_DEVICES = 256
_ARCHITECTURES = ("wormhole", "blackhole")
_SCRIPT = f"""
import json
try:
    from tt_umd import PCIDevice
except ImportError:
    answer = None
else:
    found = PCIDevice.enumerate_devices_info()
    answer = [
        [number, str(getattr(info, "pci_bdf", "") or ""),
         str(info.get_arch()) if hasattr(info, "get_arch") else ""]
        for number, info in found.items()
    ]
print({_MARK!r} + json.dumps(answer), flush=True)
"""


def umd_readings(
    interpreters: Sequence[Path], stop: Callable[[], bool] = lambda: False
) -> tuple[tuple[Reading, ...], str]:
    """One reading for each device, from the first interpreter that has tt_umd; and a problem.

    No interpreter with tt_umd, no readings and no problem.
    """
    problem = ""
    for interpreter in interpreters[:_MOST_INTERPRETERS]:
        answer = run_bounded(
            (str(interpreter), "-c", _SCRIPT), timeout_s=TIMEOUT_S, limit_bytes=_LIMIT_BYTES,
            stop=stop,
        )  # fmt: skip
        readings = parse_answer(answer.output.decode("utf-8", "replace"))
        if readings is not None:
            return readings, ""
        if answer.problem:
            problem = problem or f"tt_umd: {answer.problem}"
    return (), problem


def parse_answer(text: str) -> tuple[Reading, ...] | None:
    """The devices of the script's marked line; None where there is none, or no tt_umd."""
    line = next((line for line in text.splitlines() if line.startswith(_MARK)), "")
    try:
        found = json.loads(line[len(_MARK) :]) if line else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list):
        return None
    entries = [entry for entry in found[:_MOST_DEVICES] if isinstance(entry, list)]
    return tuple(_reading(entry) for entry in entries if len(entry) == 3)


def _reading(entry: list[Any]) -> Reading:
    number, bus_id, architecture = entry
    said = clean_text(architecture).lower()
    return Reading(
        sources=(SOURCE,),
        number=number if type(number) is int and 0 <= number < 1_000_000 else None,
        bus_id=clean_bus_id(bus_id),
        architecture=next((name for name in _ARCHITECTURES if name in said), ""),
    )


def interpreter_of_smi() -> Path | None:
    """The Python that tt-smi runs under, which has tt_umd: the first line of the tool names it."""
    program = shutil.which(TT_SMI)
    if program is None:
        return None
    try:
        with Path(program).open("rb") as file:
            line = file.readline(512).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    python = Path(line[2:].strip()) if line.startswith("#!/") else Path()
    return python if python.name.startswith("python") and python.is_file() else None
