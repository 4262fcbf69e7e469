"""What this computer has: its processor, NVIDIA and Apple GPUs, Tenstorrent cards.

Nothing here imports torch or a card's driver: the window asks at start-up.
"""

from __future__ import annotations

import difflib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from engine.devices.card import Device, load_cards
from engine.parameter import SpecError

TIMEOUT_S = 1.8
_CGROUP = Path("/sys/fs/cgroup")
_CPUINFO = Path("/proc/cpuinfo")
_TENSTORRENT = Path("/sys/class/tenstorrent")
_QUERY = (
    "nvidia-smi", "--query-gpu=index,name,memory.total,memory.free",
    "--format=csv,noheader,nounits",
)  # fmt: skip
# What a worker takes beside its tensors. CPU: resident memory of Python and torch with the first
# products done, measured: 239 MiB, and what small buffers lose. CUDA: context and libraries, not
# measured here: 0.5 GiB is usual.
_WORKER_BYTES, _CUDA_BYTES = 320 << 20, 512 << 20
# Fragmentation: resident memory beyond the peak of live tensors, at worst. CPU, glibc's allocator,
# 26 real runs: up to half as much again below 0.5 GiB, 400 to 980 MiB from 1.2 to 6 GiB. CUDA's was
# not measured.
_HEAP_SLACK, _HEAP_SLACK_BYTES = 0.5, 3 << 29
_CUDA_SLACK, _CUDA_SLACK_BYTES = 0.1, 1 << 30
# sysfs card types and the entry of the card table that describes them.
_CARD_TYPES = (
    ("galaxy-wormhole", "galaxy"), ("n150", "n150"), ("n300", "n300"), ("p100", "p100"),
    ("p150", "p150"), ("p300", "p300c"),
)  # fmt: skip


class DeviceError(Exception):
    """A device could not be asked; the message says which and what to do."""


def host_devices() -> tuple[Device, ...]:
    """The processor first, then GPUs. A GPU whose driver doesn't answer is left out.

    ``gpu_problem`` says why one is missing.
    """
    try:
        gpus = cuda_devices()
    except DeviceError:
        gpus = ()
    return (cpu_device(), *gpus, *mps_devices())


def gpu_problem() -> str:
    """Why NVIDIA GPUs could not be listed; empty where they were or where there are none."""
    try:
        cuda_devices()
    except DeviceError as error:
        return str(error)
    return ""


def cpu_device() -> Device:
    """The processor, with the memory that this process may use (a container's limit counts)."""
    limit = cgroup_limit_bytes()
    total = psutil.virtual_memory().total
    memory = total if limit is None else min(limit, total)
    cores = usable_cores()
    source = "the operating system" if memory == total else "the limit of this container"
    return Device(
        name="cpu",
        title=f"{cpu_name()}, {cores} core{'s' if cores != 1 else ''}",
        kind="cpu",
        chips=1,
        memory_bytes=memory,
        chip_memory_bytes=memory,
        source=source,
        notes="Shared with everything else that runs here. Python and torch take about 0.3 GiB.",
        overhead_bytes=_WORKER_BYTES,
        free_bytes=free_memory_bytes(),
        allocator_slack=_HEAP_SLACK,
        allocator_slack_bytes=_HEAP_SLACK_BYTES,
    )


def free_memory_bytes(root: Path = _CGROUP) -> int:
    """Main memory that a new process could take now, without driving anything out.

    What the system calls available, and no more than the container's limit leaves. File caches
    can be given up and count as free.
    """
    available = int(psutil.virtual_memory().available)
    limit = cgroup_limit_bytes(root)
    return available if limit is None else max(0, min(available, limit - _cgroup_used(root)))


def _cgroup_used(root: Path) -> int:
    """Bytes that this control group holds and cannot simply drop; 0 where it does not tell."""
    for used, statistics, cache in (
        ("memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        try:
            text = (root / used).read_text().strip()
            found = re.search(rf"^{cache} (\d+)$", (root / statistics).read_text(), re.M)
        except OSError:
            continue
        if text.isdigit():
            return max(0, int(text) - (int(found.group(1)) if found else 0))
    return 0


def usable_cores() -> int:
    """Cores that this process may run on, hyper-threads counted once where that is known."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or allowed
    return max(1, min(allowed, physical))


def cpu_name(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's name as it calls itself."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(errors="replace"), re.M)
    except OSError:
        found = None
    if found:
        return " ".join(found.group(1).split())
    return platform.processor() or platform.machine() or "CPU"


def cgroup_limit_bytes(root: Path = _CGROUP) -> int | None:
    """The memory limit of this process's control group (v2, else v1); None without one."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (root / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    return None


def cuda_devices() -> tuple[Device, ...]:
    """NVIDIA GPUs as nvidia-smi lists them; none where there is no nvidia-smi.

    Raises DeviceError where it does not answer within 2 s or fails.
    """
    if shutil.which(_QUERY[0]) is None:
        return ()
    try:
        answer = subprocess.run(
            _QUERY, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise DeviceError(
            f"nvidia-smi did not answer within {TIMEOUT_S:g} s: the NVIDIA driver hangs; "
            "a restart of the computer usually helps"
        ) from None
    except OSError as error:
        raise DeviceError(f"nvidia-smi could not be started: {error}") from error
    if answer.returncode != 0:
        lines = (answer.stderr or answer.stdout).strip().splitlines() or ["no message"]
        raise DeviceError(f"nvidia-smi failed: {lines[0][:200]}")
    return tuple(gpu for line in answer.stdout.splitlines() if (gpu := _cuda_device(line)))


def _cuda_device(line: str) -> Device | None:
    """One line of nvidia-smi's answer, such as ``0, NVIDIA H100, 81559, 80994`` (MiB)."""
    fields = [part.strip() for part in line.split(",")]
    if len(fields) < 4 or not fields[0].isdigit():
        return None
    memory, free = (int(field) << 20 if field.isdigit() else None for field in fields[-2:])
    return Device(
        name=f"cuda:{fields[0]}",
        title=", ".join(fields[1:-2]),
        kind="cuda",
        chips=1,
        memory_bytes=memory,
        chip_memory_bytes=memory,
        source="nvidia-smi",
        notes="CUDA itself takes some of it: about 0.5 GiB for each process.",
        overhead_bytes=_CUDA_BYTES,
        free_bytes=free,
        allocator_slack=_CUDA_SLACK,
        allocator_slack_bytes=_CUDA_SLACK_BYTES,
    )


def mps_devices() -> tuple[Device, ...]:
    """The GPU of an Apple silicon Mac, which shares the processor's memory."""
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return ()
    memory = psutil.virtual_memory().total
    # Metal recommends at most about three quarters of the memory for the GPU.
    usable = memory * 3 // 4
    return (
        Device(
            name="mps",
            title="Apple GPU",
            kind="mps",
            chips=1,
            memory_bytes=usable,
            chip_memory_bytes=usable,
            source="three quarters of the memory that it shares with the processor",
            computed=("memory_bytes", "chip_memory_bytes"),
            overhead_bytes=_WORKER_BYTES,
            free_bytes=min(usable, free_memory_bytes()),
            allocator_slack=_CUDA_SLACK,
            allocator_slack_bytes=_CUDA_SLACK_BYTES,
        ),
    )


@dataclass(frozen=True)
class PresentCard:
    """A Tenstorrent card in this computer.

    Attributes:
        name: as a run names it: the table's entry and a number, n150:0.
        card: the entry of the card table; None for a type that it does not know.
        card_type: what the driver calls it, such as p150b.
        serial: of the board; empty where the driver does not tell.
        numbers: N of each /dev/tenstorrent/N that belongs to the board.
        chips: chips on the board.
        clock_mhz, firmware: as far as the driver tells.
    """

    name: str
    card: Device | None
    card_type: str
    serial: str
    numbers: tuple[int, ...]
    chips: int
    clock_mhz: int | None = None
    firmware: str = ""


def present_cards(root: Path = _TENSTORRENT) -> tuple[PresentCard, ...]:
    """Tenstorrent cards that the kernel driver shows, one entry a board.

    Devices with the same serial number are one board (a p300 has two). Any attribute may be
    missing.
    """
    boards: dict[str, list[tuple[int, Path]]] = {}
    for number, folder in _driver_entries(root):
        serial = _attribute(folder, "tt_serial")
        boards.setdefault(serial or f"device {number}", []).append((number, folder))
    counts: dict[str, int] = {}
    found = []
    for key, devices in boards.items():
        card_type = _attribute(devices[0][1], "tt_card_type") or "unknown"
        card = _table_entry(card_type)
        kind = card.name if card is not None else "unknown"
        index = counts[kind] = counts.get(kind, -1) + 1
        found.append(_present(f"{kind}:{index}", card, card_type, key, devices))
    return tuple(found)


def _present(
    name: str, card: Device | None, card_type: str, key: str, devices: list[tuple[int, Path]]
) -> PresentCard:
    folder = devices[0][1]
    clock = _attribute(folder, "tt_aiclk").split(" ")[0]
    one_device_holds_all = card is not None and card_type.startswith("n300")
    return PresentCard(
        name=name,
        card=card,
        card_type=card_type,
        serial="" if key.startswith("device ") else key,
        numbers=tuple(number for number, _ in devices),
        chips=card.chips if one_device_holds_all and card is not None else len(devices),
        clock_mhz=int(clock) if clock.isdigit() else None,
        firmware=_attribute(folder, "tt_fw_bundle_ver"),
    )


def _driver_entries(root: Path) -> list[tuple[int, Path]]:
    """The driver's folders, named ``tenstorrent!N`` with a literal exclamation mark."""
    try:
        names = [path.name for path in root.iterdir()]
    except OSError:
        return []
    numbers = sorted(
        int(found.group(1)) for name in names if (found := re.fullmatch(r"tenstorrent!(\d+)", name))
    )
    return [(number, root / f"tenstorrent!{number}") for number in numbers]


def _attribute(folder: Path, name: str) -> str:
    """One attribute of the driver, empty where it is missing, unreadable or not text."""
    try:
        return (folder / name).read_bytes()[:256].decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _table_entry(card_type: str) -> Device | None:
    wanted = next((name for prefix, name in _CARD_TYPES if card_type.startswith(prefix)), None)
    return next((card for card in load_cards() if card.name == wanted), None)


def resolve_device(name: str) -> Device:
    """The device that a run calls ``name``.

    ``auto`` is the first CUDA GPU, else Apple's, else the processor; ``n150:0`` the card of the
    table (whether it is present is another question). Raises SpecError for anything else.
    """
    wanted = name.strip().lower()
    known = {device.name: device for device in (*host_devices(), *load_cards())}
    if wanted == "auto":
        gpus = [device for device in known.values() if device.kind in ("cuda", "mps")]
        return gpus[0] if gpus else known["cpu"]
    if wanted in known:
        return known[wanted]
    if wanted == "cuda":
        gpus = [device for device in known.values() if device.kind == "cuda"]
        if gpus:
            return gpus[0]
    base, _, number = wanted.partition(":")
    if base in known and known[base].kind == "card" and number.isdigit():
        return replace(known[base], name=wanted)
    if base == "cuda":
        problem = gpu_problem() or "this computer shows no such NVIDIA GPU"
        raise SpecError("device", f"{name[:40]} is not here: {problem}", {"device": "auto"})
    close = difflib.get_close_matches(wanted, known, n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise SpecError(
        "device",
        f"{name[:40]!r} is not a device{hint} (known: auto, {', '.join(known)})",
        {"device": "auto"},
    )
