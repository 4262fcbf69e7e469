from __future__ import annotations

import stat
import sys
import time
from pathlib import Path

import psutil
import pytest

from engine.devices import host
from engine.devices.host import (
    DeviceError,
    cgroup_limit_bytes,
    cpu_device,
    cpu_name,
    cuda_devices,
    free_memory_bytes,
    gpu_problem,
    host_devices,
    mps_devices,
    present_cards,
    resolve_device,
    usable_cores,
)
from engine.parameter import SpecError


@pytest.fixture
def fake_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A program called nvidia-smi on the path that runs the given shell lines."""

    def make(script: str) -> None:
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    return make


@pytest.fixture
def no_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def test_the_processor_comes_first_with_its_memory() -> None:
    device = host_devices()[0]
    assert (device.name, device.kind, device.chips) == ("cpu", "cpu", 1)
    assert device.memory_bytes is not None
    assert 0 < device.memory_bytes <= psutil.virtual_memory().total
    assert device.memory_bytes == device.chip_memory_bytes


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1073741824\n")
    monkeypatch.setattr(host, "cgroup_limit_bytes", lambda _=None: cgroup_limit_bytes(tmp_path))
    device = cpu_device()
    assert device.memory_bytes == 1 << 30
    assert "limit" in device.source


@pytest.mark.parametrize(
    ("file", "text", "limit"),
    [
        ("memory.max", "max\n", None),
        ("memory.max", "4096\n", 4_096),
        ("memory.max", "nonsense", None),
        ("memory/memory.limit_in_bytes", "8192\n", 8_192),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", None),
        ("other", "1", None),
    ],
)
def test_cgroup_limits(tmp_path: Path, file: str, text: str, limit: int | None) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert cgroup_limit_bytes(tmp_path) == limit


def test_free_memory_is_what_the_container_leaves(tmp_path: Path) -> None:
    """Limit less what is held; file caches can be dropped."""
    available = psutil.virtual_memory().available
    assert free_memory_bytes(tmp_path) == pytest.approx(available, rel=0.2)
    (tmp_path / "memory.max").write_text("1000000\n")
    assert free_memory_bytes(tmp_path) == 1_000_000
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 200000\n")
    assert free_memory_bytes(tmp_path) == 500_000
    (tmp_path / "memory.current").write_text("7000000\n")
    assert free_memory_bytes(tmp_path) == 0


def test_the_processor_tells_what_is_free_and_what_the_worker_itself_takes() -> None:
    device = cpu_device()
    assert device.free_bytes is not None
    assert device.memory_bytes is not None
    assert 0 <= device.free_bytes <= device.memory_bytes
    assert device.overhead_bytes == 320 << 20


def test_the_processors_name(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nmodel name\t: A  CPU   @ 3 GHz\n")
    assert cpu_name(file) == "A CPU @ 3 GHz"
    assert cpu_name(tmp_path / "missing")
    assert usable_cores() >= 1


def test_nvidia_gpus_as_listed(fake_nvidia_smi) -> None:  # type: ignore[no-untyped-def]
    fake_nvidia_smi(
        "echo '0, NVIDIA H100 80GB HBM3, 81559, 80994'; echo '1, NVIDIA, Odd, [N/A], [N/A]'"
    )
    first, second = cuda_devices()
    assert (first.name, first.title) == ("cuda:0", "NVIDIA H100 80GB HBM3")
    assert first.memory_bytes == 81_559 << 20
    assert first.free_bytes == 80_994 << 20
    assert 0 < first.overhead_bytes <= 1 << 30
    assert (second.title, second.memory_bytes, second.free_bytes) == ("NVIDIA, Odd", None, None)
    assert resolve_device("cuda").name == "cuda:0"
    assert resolve_device("auto").name == "cuda:0"
    assert gpu_problem() == ""


def test_no_gpu_is_no_error(fake_nvidia_smi) -> None:  # type: ignore[no-untyped-def]
    fake_nvidia_smi("echo No devices were found")
    assert cuda_devices() == ()


def test_a_failing_driver_is_reported_and_the_processor_stays(fake_nvidia_smi) -> None:  # type: ignore[no-untyped-def]
    fake_nvidia_smi("echo 'NVIDIA-SMI has failed' >&2; exit 9")
    with pytest.raises(DeviceError, match="NVIDIA-SMI has failed"):
        cuda_devices()
    assert host_devices()[0].kind == "cpu"
    assert "has failed" in gpu_problem()
    with pytest.raises(SpecError, match="has failed"):
        resolve_device("cuda:0")


def test_a_hanging_driver_is_given_up_within_two_seconds(  # type: ignore[no-untyped-def]
    fake_nvidia_smi, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nvidia_smi("exec sleep 20")
    monkeypatch.setattr(host, "TIMEOUT_S", 0.3)
    started = time.monotonic()
    with pytest.raises(DeviceError, match="did not answer"):
        cuda_devices()
    assert time.monotonic() - started < 2
    assert host.TIMEOUT_S < 2


def test_a_program_that_cannot_start(fake_nvidia_smi, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    fake_nvidia_smi("true")
    (tmp_path / "bin" / "nvidia-smi").write_text("#!/nonexistent/interpreter\n")
    with pytest.raises(DeviceError, match="could not be started"):
        cuda_devices()


def test_an_apple_gpu_only_on_apple_silicon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(host.platform, "machine", lambda: "arm64")
    (device,) = mps_devices()
    assert device.memory_bytes == psutil.virtual_memory().total * 3 // 4
    monkeypatch.setattr(host.platform, "machine", lambda: "x86_64")
    assert mps_devices() == ()


def tree(root: Path, entries: dict[int, dict[str, str]]) -> Path:
    """The kernel driver's folders as they were recorded: one for each device."""
    for number, attributes in entries.items():
        folder = root / f"tenstorrent!{number}"
        folder.mkdir(parents=True)
        for name, text in attributes.items():
            (folder / name).write_text(text + "\n")
    return root


def test_one_n150(tmp_path: Path) -> None:
    (card,) = present_cards(tree(tmp_path, {0: {
        "tt_card_type": "n150", "tt_serial": "0100018611902010", "tt_aiclk": "1000",
        "tt_fw_bundle_ver": "18.2.0.0",
    }}))  # fmt: skip
    assert (card.name, card.card_type, card.chips, card.numbers) == ("n150:0", "n150", 1, (0,))
    assert (card.serial, card.clock_mhz, card.firmware) == ("0100018611902010", 1_000, "18.2.0.0")
    assert card.card is not None
    assert card.card.name == "n150"


def test_an_n300_is_one_device_with_two_chips(tmp_path: Path) -> None:
    (card,) = present_cards(tree(tmp_path, {3: {"tt_card_type": "n300", "tt_serial": "a"}}))
    assert (card.name, card.chips, card.numbers) == ("n300:0", 2, (3,))


def test_a_p300_is_two_devices_of_one_board(tmp_path: Path) -> None:
    (card,) = present_cards(tree(tmp_path, {
        0: {"tt_card_type": "p300c", "tt_serial": "b"},
        1: {"tt_card_type": "p300c", "tt_serial": "b"},
    }))  # fmt: skip
    assert (card.name, card.chips, card.numbers) == ("p300c:0", 2, (0, 1))


def test_several_cards_are_numbered_and_ordered(tmp_path: Path) -> None:
    cards = present_cards(tree(tmp_path, {
        10: {"tt_card_type": "p150b", "tt_serial": "c"},
        2: {"tt_card_type": "p150a", "tt_serial": "d"},
        1: {"tt_card_type": "n150", "tt_serial": "e"},
    }))  # fmt: skip
    assert [card.name for card in cards] == ["n150:0", "p150:0", "p150:1"]
    assert [card.numbers for card in cards] == [(1,), (2,), (10,)]


def test_missing_and_strange_attributes_are_survived(tmp_path: Path) -> None:
    root = tree(tmp_path, {0: {}, 1: {"tt_card_type": "x900", "tt_aiclk": "fast"}})
    (root / "tenstorrent!x").mkdir()
    (root / "tenstorrent!0" / "tt_serial").write_bytes(b"\xff\xfe" * 500)
    first, second = present_cards(root)
    assert first.card is None
    assert second.card_type == "x900"
    assert (second.card, second.clock_mhz, second.serial) == (None, None, "")


def test_no_driver_no_cards(tmp_path: Path) -> None:
    assert present_cards(tmp_path / "missing") == ()


@pytest.mark.usefixtures("no_nvidia_smi")
def test_devices_by_name() -> None:
    assert resolve_device("cpu").kind == "cpu"
    assert resolve_device(" N150 ").name == "n150"
    assert resolve_device("n300:1").name == "n300:1"
    if sys.platform != "darwin":
        assert resolve_device("auto").name == "cpu"


@pytest.mark.usefixtures("no_nvidia_smi")
@pytest.mark.parametrize("name", ["", "n155", "cuda", "cuda:0", "n150:x", "x" * 500, "cpu:0"])
def test_other_names_are_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        resolve_device(name)
    assert caught.value.field == "device"
    assert caught.value.fix == {"device": "auto"}
    assert len(str(caught.value)) < 300


@pytest.mark.usefixtures("no_nvidia_smi")
def test_close_names_are_offered() -> None:
    with pytest.raises(SpecError, match=r"did you mean .*n150"):
        resolve_device("n155")
