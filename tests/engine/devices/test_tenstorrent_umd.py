"""tt_umd is asked under another interpreter; a package of that name stands in for it here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.devices import tenstorrent_umd
from engine.devices.tenstorrent_umd import interpreter_of_smi, parse_answer, umd_readings
from tests.engine.devices.recorded import on_path, program

PYTHON = Path(sys.executable)
DEVICES = """
class _Info:
    def __init__(self, bdf, arch):
        self.pci_bdf, self._arch = bdf, arch
    def get_arch(self):
        return self._arch
class PCIDevice:
    @staticmethod
    def enumerate_devices_info():
        print("a line of its own")
        return {0: _Info("0000:01:00.0", "ARCH.WORMHOLE_B0"), 3: _Info(None, "ARCH.BLACKHOLE")}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Puts a tt_umd with the given source where every Python finds it."""

    def install(source: str) -> None:
        (tmp_path / "tt_umd.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    return install


def test_the_devices_that_it_lists(package) -> None:  # type: ignore[no-untyped-def]
    package(DEVICES)
    (first, second), problem = umd_readings((PYTHON,))
    assert problem == ""
    assert first.sources == ("tt_umd",)
    assert (first.number, first.bus_id, first.architecture) == (0, "0000:01:00.0", "wormhole")
    assert (second.number, second.bus_id, second.architecture) == (3, "", "blackhole")
    assert "tt_umd" not in sys.modules


def test_the_first_interpreter_that_has_it_answers(package, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    package(DEVICES)
    without = program(tmp_path / "bin", "python3", f'exec "{PYTHON}" -I "$@"')
    readings, _ = umd_readings((without, tmp_path / "missing", PYTHON))
    assert [reading.number for reading in readings] == [0, 3]


def test_an_interpreter_without_it_is_no_problem(tmp_path: Path) -> None:
    without = program(tmp_path, "python3", f'exec "{PYTHON}" -I "$@"')
    assert umd_readings((without,)) == ((), "")
    assert umd_readings(()) == ((), "")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("raise OSError('no hugepages')", "no hugepages"),
        ("import os; os.abort()", "signal 6"),
        ("import time; time.sleep(60)", "did not answer within"),
        ("while True: print('x' * 1000)", "printed more than"),
    ],
)
def test_native_code_that_misbehaves_is_a_problem_in_words(  # type: ignore[no-untyped-def]
    package, monkeypatch: pytest.MonkeyPatch, source: str, problem: str
) -> None:
    package(source)
    monkeypatch.setattr(tenstorrent_umd, "TIMEOUT_S", 3.0)
    readings, said = umd_readings((PYTHON,))
    assert readings == ()
    assert problem in said


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", None), ("noise", None), ("TRICKSTER null", None), ("TRICKSTER {", None),
        ('TRICKSTER {"a": 1}', None), ("TRICKSTER []", 0), ("TRICKSTER [1, [2], [1, 2, 3, 4]]", 0),
        ('TRICKSTER [["x", 5, null], [true, "", ""]]', 2),
    ],
)  # fmt: skip
def test_answers_of_any_kind(text: str, count: int | None) -> None:
    found = parse_answer(text)
    assert (None if found is None else len(found)) == count
    assert all(reading.number is None for reading in found or ())


def test_the_interpreter_that_tt_smi_runs_under(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(monkeypatch.setenv, tmp_path)
    tool = tmp_path / "tt-smi"
    for line, found in (
        (f"#!{PYTHON}\n".encode(), PYTHON), (b"#!/bin/sh\n", None), (b"\x7fELF\xff", None),
        (b"#!/nowhere/python3\n", None), (b"", None), (b"#!\xff\n", None),
    ):  # fmt: skip
        tool.write_bytes(line)
        tool.chmod(0o755)
        assert interpreter_of_smi() == found
    tool.unlink()
    assert interpreter_of_smi() is None
