"""What this computer has: its processor, NVIDIA and Apple GPUs.

Nothing here imports torch or a card's driver: the window asks at start-up. Tenstorrent's cards are
looked for in ``engine.devices.tenstorrent``.
"""

from __future__ import annotations

import difflib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import psutil

from engine.devices.card import Device, load_cards
from engine.parameter import SpecError

TIMEOUT_S = 1.8
_CGROUP = Path("/sys/fs/cgroup")
_CPUINFO = Path("/proc/cpuinfo")
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
