"""All three sources together, on trees and tools that are really there."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.devices import tenstorrent, tenstorrent_smi
from engine.devices.tenstorrent import discover, present_cards
from tests.engine.devices.recorded import (
    chip,
    device,
    driver_tree,
    on_path,
    program,
    smi_printing,
    snapshot,
)

UMD = """
class _Info:
    pci_bdf = "0000:09:00.0"
    def get_arch(self):
        return "ARCH.BLACKHOLE"
class PCIDevice:
    enumerate_devices_info = staticmethod(lambda: {9: _Info()})
"""


@pytest.fixture(autouse=True)
def _only_these_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch.setenv, tmp_path / "bin")


def test_the_driver_alone(tmp_path: Path) -> None:
    root = driver_tree(tmp_path, {0: device("n150", "1", 1)})
    found = discover(root=root, device_folder=tmp_path / "none")
    assert [card.name for card in found.cards] == ["n150:0"]
    assert found.cards[0].sources == ("driver",)
    assert found.problems == ()
    assert present_cards(root) == found.cards


def test_tt_smi_fills_what_the_driver_leaves_out(tmp_path: Path) -> None:
    root = driver_tree(tmp_path, {0: {"bus_id": "0000:01:00.0"}, 1: {"bus_id": "0000:02:00.0"}})
    smi_printing(tmp_path / "bin", snapshot(
        chip("p150b", "7", 2), chip("n300 L", "8", 1), chip("n300 R", "8", None),
    ))  # fmt: skip
    cards = discover(root=root, device_folder=tmp_path / "none").cards
    assert [(card.name, card.numbers, card.serial) for card in cards] == [
        ("n300:0", (0,), "8"), ("p150:0", (1,), "7"),
    ]  # fmt: skip
    assert cards[0].sources == ("driver", "tt-smi")
    assert cards[0].power_w == 26.0


def test_a_t3k_as_driver_and_tt_smi_show_it(tmp_path: Path) -> None:
    root = driver_tree(tmp_path, {n: device("n300", f"a{n}", n + 1) for n in range(4)})
    far = [chip("n300 R", f"a{n}", None) for n in range(4)]
    near = [chip("n300 L", f"a{n}", n + 1) for n in range(4)]
    smi_printing(tmp_path / "bin", snapshot(*near, *far))
    cards = discover(root=root, device_folder=tmp_path / "none").cards
    assert [card.name for card in cards] == ["t3k:0", "n300:0", "n300:1", "n300:2", "n300:3"]
    assert (cards[0].chips, cards[0].power_w) == (8, 4 * (23.0 + 13.0))


def test_a_galaxy_as_driver_and_tt_smi_show_it(tmp_path: Path) -> None:
    root = driver_tree(
        tmp_path, {n: device("galaxy-wormhole", f"b{n // 8}", n + 1) for n in range(32)}
    )
    smi_printing(
        tmp_path / "bin", snapshot(*(chip("tt-galaxy-wh", f"b{n // 8}", n + 1) for n in range(32)))
    )
    (card,) = discover(root=root, device_folder=tmp_path / "none").cards
    assert (card.name, card.chips, card.sources) == ("galaxy:0", 32, ("driver", "tt-smi"))


def test_tt_umd_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "tt_umd.py").write_text(UMD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    (tmp_path / "dev").mkdir()
    root = driver_tree(tmp_path, {9: {"tt_card_type": "p100a"}})
    python = (Path(sys.executable),)
    (card,) = discover(root=root, device_folder=tmp_path / "dev", interpreters=python).cards
    assert (card.name, card.bus_ids, card.sources) == (
        "p100:0", ("0000:09:00.0",), ("driver", "tt_umd"),
    )  # fmt: skip
    (bare,) = discover(root=tmp_path / "no", device_folder=tmp_path / "dev",
                       interpreters=python).cards  # fmt: skip
    assert (bare.name, bare.architecture, bare.numbers) == ("unknown:0", "blackhole", (9,))
    unseen = discover(root=root, device_folder=tmp_path / "none", interpreters=python).cards
    assert unseen[0].bus_ids == (), "without device files there is nothing that it could see"


def test_tt_umd_is_asked_under_the_python_of_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "tt_umd.py").write_text(UMD)
    (tmp_path / "dev").mkdir()
    worker = program(
        tmp_path / "worker", "python3",
        f'PYTHONPATH="{tmp_path}/packages" exec "{sys.executable}" "$@"',
    )  # fmt: skip
    monkeypatch.setattr(tenstorrent, "candidates", lambda: (worker,))
    (card,) = discover(root=tmp_path / "none", device_folder=tmp_path / "dev").cards
    assert (card.numbers, card.sources) == ((9,), ("tt_umd",))


def test_cards_are_listed_though_a_tool_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin", "tt-smi", "sleep 60")
    monkeypatch.setattr(tenstorrent_smi, "TIMEOUT_S", 0.3)
    root = driver_tree(tmp_path, {0: device("n150", "1", 1)})
    found = discover(root=root, device_folder=tmp_path / "none")
    assert [card.name for card in found.cards] == ["n150:0"]
    assert found.problems == ("tt-smi did not answer within 0.3 s",)


def test_the_wait_ends_when_nobody_wants_the_answer(tmp_path: Path) -> None:
    program(tmp_path / "bin", "tt-smi", "sleep 60")
    began = time.monotonic()
    discover(
        root=tmp_path / "none", device_folder=tmp_path / "none",
        stop=lambda: time.monotonic() - began > 0.2,
    )  # fmt: skip
    assert time.monotonic() - began < 5


def test_neither_ttnn_nor_torch_nor_numpy_is_imported() -> None:
    code = (
        "import sys; from engine.devices.tenstorrent import discover; discover(); "
        "sys.exit(bool({'torch', 'numpy', 'ttnn', 'tt_umd'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
