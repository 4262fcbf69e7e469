"""A machine on which everything that a card needs is there, made of files; and a worker's Python.

The Python is this very interpreter behind a script. What a card's environment would hold (ttnn,
numpy below 2) lies in a folder on its path, as small packages with the names and versions that the
real ones have.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from engine.devices.host_checks import Places
from engine.devices.interpreter import NEEDED
from tests.engine.devices.recorded import device, driver_tree, program

PACKAGES = dict.fromkeys(NEEDED, "1.0") | {"numpy": "1.26.4", "ttnn": "0.81.1"}
PACKAGES_OF_TT_TRAIN = PACKAGES | {"ttml": "0.1.0"}
_PACKAGE_NAMES = {"yaml": "PyYAML"}
_HERE = sys.executable
# Runs the text of "-c" as a Python of another version would, with one folder of packages.
_START = """
import sys
sys.path = [{site!r}, *(path for path in sys.path if "site-packages" not in path)]
sys.version_info = {version!r}
code, sys.argv = sys.argv[1], ["-c", *sys.argv[2:]]
exec(compile(code, "-c", "exec"), {{"__name__": "__main__"}})
"""


def ready_places(home: Path, card_type: str = "n150", **more: str) -> Places:
    """One card, its driver, its device file, one hugepage and the compiler."""
    dev = home / "dev" / "tenstorrent"
    dev.mkdir(parents=True)
    (dev / "0").write_text("")
    holders = home / "proc" / "driver" / "0"
    holders.mkdir(parents=True)
    (holders / "pids").write_text("")
    hugepages = home / "dev" / "hugepages-1G"
    (home / "proc" / "mounts").write_text(
        f"sysfs /sys sysfs rw 0 0\nhugetlbfs {hugepages} hugetlbfs rw,pagesize=1024M 0 0\n"
    )
    counts = home / "mm" / "hugepages-1048576kB"
    counts.mkdir(parents=True)
    (counts / "nr_hugepages").write_text("4\n")
    compiler = home / "opt" / "sfpi"
    (compiler / "compiler" / "bin").mkdir(parents=True)
    (compiler / "compiler" / "bin" / "riscv-tt-elf-g++").write_text("")
    return Places(
        driver_class=driver_tree(home / "sys", {0: device(card_type, "a1", 1, **more)}),
        module=home / "module", device_files=dev, holders=holders.parent,
        mounts=home / "proc" / "mounts", hugepages=hugepages, hugepage_counts=counts.parent,
        pci_devices=home / "pci", compiler=compiler,
    )  # fmt: skip


def packages(folder: Path, versions: Mapping[str, str], sources: Mapping[str, str]) -> None:
    """Packages of these versions (module: version) with these sources (default: empty)."""
    for module, version in versions.items():
        (folder / module).mkdir(parents=True)
        (folder / module / "__init__.py").write_text(sources.get(module, ""))
        info = folder / f"{_PACKAGE_NAMES.get(module, module)}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {_PACKAGE_NAMES.get(module, module)}\n"
            f"Version: {version}\n"
        )


def python(
    home: Path, versions: Mapping[str, str] = PACKAGES, version: tuple[int, int] = (3, 12),
    sources: Mapping[str, str] | None = None, worker: str = "",
) -> Path:  # fmt: skip
    """A Python of this version with these packages and no others.

    What a worker is started with is only written down, unless ``worker`` is a command to run in
    its place; it is given the module and the module's arguments.
    """
    packages(home / "site", versions, sources or {})
    start = home / "start.py"
    start.write_text(_START.format(site=str(home / "site"), version=(*version, 4)))
    written = f'printf "%s\\n" "$@" > "{home}/started"'
    started = f'shift; exec {worker} "$@"' if worker else written
    return program(
        home / "bin", "python3",
        f'if [ "$1" = "-c" ]; then shift; exec "{_HERE}" -S -B "{start}" "$@"; fi\n'
        + started,
    )  # fmt: skip


def python_of_tt_train(home: Path, worker: str = "") -> Path:
    """A Python with tt-train's ttml, which is known by its folder of models, beside ttnn."""
    made = python(home, PACKAGES_OF_TT_TRAIN, worker=worker)
    (home / "site" / "ttml" / "models").mkdir()
    return made


def tt_metal(home: Path, python: Path) -> Path:
    """A folder of tt-metal built from source, and in it the Python that it made: ``python``."""
    for part in ("tt_metal", "tt-train", "python_env/bin"):
        (home / part).mkdir(parents=True)
    made = home / "python_env" / "bin" / "python"
    made.symlink_to(python)
    return made
