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
