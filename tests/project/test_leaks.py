"""The check that nothing is left behind finds what it is there to find."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PySide6.QtCore import QThread

from tests import leaks


def test_nothing_is_found_where_nothing_is_left() -> None:
    assert leaks.left_behind(leaks.Surroundings.now()) == []


def test_finds_a_thread_that_does_not_end() -> None:
    before = leaks.Surroundings.now()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="lingering")
    thread.start()
    assert leaks.left_behind(before, grace_s=0.05) == ["thread lingering"]
    stop.set()
    thread.join()
    assert leaks.left_behind(before) == []


def test_finds_and_ends_a_process() -> None:
    before = leaks.Surroundings.now()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = leaks.left_behind(before, grace_s=0.05)
    assert len(found) == 1
    assert found[0].startswith(f"process {process.pid}: ")
    assert process.wait(timeout=10) is not None
    assert process.stdin is not None
    process.stdin.close()


def test_waits_for_a_process_that_is_about_to_end() -> None:
    before = leaks.Surroundings.now()
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    assert leaks.left_behind(before, grace_s=30) == []
    process.wait()


def test_finds_a_running_qthread(qapp: object) -> None:
    before = leaks.Surroundings.now()
    thread = QThread(objectName="reader")
    thread.start()
    assert leaks.left_behind(before, grace_s=0.05) == ["running QThread QThread reader"]
    thread.quit()
    assert thread.wait(10_000)
    assert leaks.left_behind(before) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads other processes' environment")
def test_finds_a_process_that_cut_itself_loose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRICKSTER_HOME", str(tmp_path / "home"))
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    assert [found.pid for found in leaks.orphans("TRICKSTER_HOME", tmp_path)] == [process.pid]
    process.communicate(b"\n", timeout=10)
    assert leaks.orphans("TRICKSTER_HOME", tmp_path) == []
