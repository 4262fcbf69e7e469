"""What training on a card needs of this computer: driver, device files, hugepages, a free card."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.devices.check import Check
from engine.devices.simulator import VARIABLE, Simulator
from engine.devices.tenstorrent import DEVICE_FOLDER, Discovery
from engine.devices.tenstorrent_boards import PresentCard, table_entry
from engine.devices.tenstorrent_sysfs import CLASS_FOLDER

_DRIVER_ADVICE = (
    "Install Tenstorrent's kernel driver tt-kmd: https://github.com/tenstorrent/tt-kmd\n"
    "Then load it: sudo modprobe tenstorrent"
)
_ACCESS_ADVICE = (
    "tt-kmd's udev rules let everybody use the cards: install them with the driver.\n"
    "In a container: start it with --device /dev/tenstorrent"
)
_HUGEPAGES_ADVICE = (
    "Install tenstorrent-tools (https://github.com/tenstorrent/tt-system-tools), then:\n"
    r"sudo systemctl enable --now tenstorrent-hugepages.service 'dev-hugepages\x2d1G.mount'"
)
_GIB = 1_048_576  # kB, as the kernel names the folder
_OF_SIMULATORS = ("TT_METAL_SLOW_DISPATCH_MODE", "TT_METAL_DISABLE_SFPLOADMACRO")


@dataclass(frozen=True)
class Places:
    """Where the system keeps what is looked at; tests have places of their own."""

    driver_class: Path = CLASS_FOLDER
    module: Path = Path("/sys/module/tenstorrent")
    device_files: Path = DEVICE_FOLDER
    holders: Path = Path("/proc/driver/tenstorrent")
    mounts: Path = Path("/proc/mounts")
    hugepages: Path = Path("/dev/hugepages-1G")
    hugepage_counts: Path = Path("/sys/kernel/mm/hugepages")
    pci_devices: Path = Path("/sys/bus/pci/devices")
    compiler: Path = Path("/opt/tenstorrent/sfpi")


def card_checks(
    name: str, card: PresentCard | None, found: Discovery, places: Places
) -> tuple[Check, ...]:
    """Everything about the card and its driver."""
    checks = [_driver(places), _card(name, card, found)]
    if card is not None:
        checks += [_access(card, places), _firmware(card, found), _holders(card, places)]
    return (*checks, _hugepages(name, card, places))


def _driver(places: Places) -> Check:
    there = (places.module, places.driver_class, places.device_files)
    if any(place.exists() for place in there):
        return Check("driver", "Kernel driver", "ok", "it is loaded")
    return Check(
        "driver", "Kernel driver", "missing", "Tenstorrent's kernel driver is not loaded",
        _DRIVER_ADVICE,
    )  # fmt: skip


def _card(name: str, card: PresentCard | None, found: Discovery) -> Check:
    if card is not None:
        serial = f", serial {card.serial}" if card.serial else ""
        notes = f" ({'; '.join(card.notes)})" if card.notes else ""
        return Check("card", "Card", "ok", f"{card.card_type}{serial}{notes}")
    others = ", ".join(card.name for card in found.cards)
    said = f"{name} is not in this computer" + (f", which has {others}" if others else "")
    failed = "".join(f"\n{problem}" for problem in found.problems)
    advice = (
        f"Choose one that is here: {others}" if others
        else "See whether the computer sees it: lspci -d 1e52:\n"
        "If not, check that it sits firmly and has its power cable"
    )  # fmt: skip
    return Check("card", "Card", "missing", said, advice + failed)


def _access(card: PresentCard, places: Places) -> Check:
    title = "Device files"
    files = [places.device_files / str(number) for number in card.numbers]
    if not files:
        said = "the number of the card's device file is not told"
        return Check("access", title, "unknown", said, needed=False)
    absent = [str(file) for file in files if not file.exists()]
    if absent:
        return Check("access", title, "missing", f"{_listed(absent)} missing", _ACCESS_ADVICE)
    closed = [str(file) for file in files if not os.access(file, os.R_OK | os.W_OK)]
    if closed:
        said = f"you may not read and write {_listed(closed)}"
        return Check("access", title, "missing", said, _ACCESS_ADVICE)
    return Check("access", title, "ok", f"{_listed([str(f) for f in files])} can be used")


def _listed(names: list[str]) -> str:
    """Some names in words; of many only the first."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _firmware(card: PresentCard, found: Discovery) -> Check:
    if card.firmware:
        return Check("firmware", "Firmware", "ok", card.firmware, needed=False)
    failed = "".join(f"\n{problem}" for problem in found.problems)
    advice = "tt-smi shows it: https://github.com/tenstorrent/tt-smi" + failed
    return Check("firmware", "Firmware", "unknown", "its version is not told", advice, False)


def _holders(card: PresentCard, places: Places) -> Check:
    title = "Free to use"
    pids: set[int] = set()
    for number in card.numbers:
        try:
            text = (places.holders / str(number) / "pids").read_text(errors="replace")[:4_096]
        except OSError:
            said = "whether another process has it open is not told"
            return Check("holders", title, "unknown", said, needed=False)
        pids |= {int(word) for word in text.split() if word.isascii() and word.isdigit()}
    pids.discard(os.getpid())
    if not card.numbers:
        said = "the number of the card's device file is not told"
        return Check("holders", title, "unknown", said, needed=False)
    if not pids:
        return Check("holders", title, "ok", "no other process has it open", needed=False)
    named = _listed([_process(pid) for pid in sorted(pids)])
    return Check(
        "holders", title, "unknown", f"another process has it open: {named}",
        "A monitor does no harm. Where it is another run or a server, end that first.", False,
    )  # fmt: skip


def _process(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).name()} ({pid})" if pid else "one of another container"
    except psutil.Error:
        return str(pid)


def _hugepages(name: str, card: PresentCard | None, places: Places) -> Check:
    title = "Hugepages"
    wormhole = card.architecture == "wormhole" if card is not None else not name.startswith("p")
    if not wormhole:
        return Check("hugepages", title, "ok", "only Wormhole cards need them", needed=False)
    count = _hugepage_count(places)
    wanted = max(1, len(card.numbers) if card is not None else 1)
    if not _is_mounted(places):
        said = f"1 GiB hugepages are not mounted at {places.hugepages}"
    elif count is None:
        said = f"mounted at {places.hugepages}; how many there are is not told"
        return Check("hugepages", title, "unknown", said)
    elif 0 < count < wanted:
        said = f"{count} of 1 GiB at {places.hugepages} for {wanted} devices: it may be too few"
        return Check("hugepages", title, "unknown", said, _HUGEPAGES_ADVICE)
    elif count == 0:
        said = "there is no hugepage of 1 GiB"
    else:
        return Check("hugepages", title, "ok", f"{count} of 1 GiB at {places.hugepages}")
    if card is not None and _has_iommu(card, places):
        said += "; the IOMMU, which is on, can stand in for them"
        return Check("hugepages", title, "unknown", said, _HUGEPAGES_ADVICE, needed=False)
    return Check("hugepages", title, "missing", said, _HUGEPAGES_ADVICE)


def _has_iommu(card: PresentCard, places: Places) -> bool:
    """Whether the system translates the addresses of all the card's devices (type DMA, DMA-FQ)."""
    kinds = []
    for bus_id in card.bus_ids:
        try:
            kinds.append((places.pci_devices / bus_id / "iommu_group" / "type").read_text()[:16])
        except (OSError, UnicodeDecodeError):
            return False
    return bool(kinds) and all(kind.startswith("DMA") for kind in kinds)


def _is_mounted(places: Places) -> bool:
    try:
        lines = places.mounts.read_text(errors="replace").splitlines()
    except OSError:
        return False
    mounts = [line.split()[1:3] for line in lines]
    return [str(places.hugepages), "hugetlbfs"] in mounts


def _hugepage_count(places: Places) -> int | None:
    try:
        file = places.hugepage_counts / f"hugepages-{_GIB}kB" / "nr_hugepages"
        text = file.read_text(errors="replace")[:32].strip()
    except OSError:
        return None
    return int(text) if text.isascii() and text.isdigit() else None


def simulator_checks(
    found: Simulator, environment: Mapping[str, str], device: str
) -> tuple[Check, ...]:
    """In place of a card: the simulator, and whether its chip is one of ``device``'s."""

    def missing(said: str, advice: str) -> tuple[Check, ...]:
        return (Check("card", "Simulator", "missing", said, advice),)

    if found.card is None:
        return missing(
            found.problem,
            f"Correct or unset {VARIABLE}. tt-metal's soc descriptor of the chip belongs beside\n"
            "the simulator's file, as soc_descriptor.yaml.",
        )
    unset = [name for name in _OF_SIMULATORS if environment.get(name) != "1"]
    if unset:
        said = f"the simulator also needs {' and '.join(unset)} to be 1"
        return missing(said, "\n".join(f"export {name}=1" for name in unset))
    here, chosen = found.card, table_entry(device)
    if here.card is None or chosen is None or chosen.banks != here.card.banks:
        said = f"the simulated chip is a {here.architecture.title()}, no chip of {device}"
        return missing(said, f"Choose {here.name}, or another simulator.")
    return (Check("card", "Simulator", "ok", f"{str(found.path)[:200]} in place of a card"),)


def mock_checks(environment: Mapping[str, str]) -> tuple[Check, ...]:
    """A mock device computes nothing but zeros: it must never be taken for a card."""
    if not environment.get("TT_METAL_MOCK_CLUSTER_DESC_PATH"):
        return ()
    said = "TT_METAL_MOCK_CLUSTER_DESC_PATH is set: a mock device computes only zeros"
    advice = "unset TT_METAL_MOCK_CLUSTER_DESC_PATH"
    return (Check("mock", "Real results", "missing", said, advice),)
