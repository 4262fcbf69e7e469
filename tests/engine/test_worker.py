"""Real worker processes: killed, signalled, commanded. Each costs the import of torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine import worker
from engine.events import Finished, Paused, Saved, Started, Step
from engine.launch import launch
from engine.run_directory import RunDirectory, RunDirectoryError
from engine.worker_process import NICENESS
from tests.engine.training.tiny import assert_same_bits, checkpoint_tensors, events, new_run, train

PATIENCE_S = 60.0
Launch = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Launch]:
    """Launches workers, and ends those that a failing test would leave behind."""
    started: list[subprocess.Popen[bytes]] = []

    def launched(directory: RunDirectory, **options: object) -> subprocess.Popen[bytes]:
        started.append(launch(directory, **options))  # type: ignore[arg-type]
        return started[-1]

    yield launched
    for process in started:
        process.kill()
        process.wait()


def wait_for(
    directory: RunDirectory, kind: type, step: int, process: subprocess.Popen[bytes]
) -> None:
    """Until the run has recorded an event of this kind at ``step`` or later."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(event.step >= step for event in events(directory, kind)):
        alive = process.poll() is None
        assert alive, f"the worker ended: {directory.log_file.read_text()}"
        assert time.monotonic() < deadline, f"no {kind.__name__} at step {step}"
        time.sleep(0.01)


def test_killed_between_checkpoints_and_resumed_is_bit_for_bit_the_same(
    tmp_path: Path, start: Launch
) -> None:
    whole = new_run(tmp_path, "whole", steps=400, save_every=50, sample_every=0, validate_every=0)
    assert train(whole).step == 400
    directory = new_run(
        tmp_path, "killed", steps=400, save_every=50, sample_every=0, validate_every=0
    )
    process = start(directory)
    wait_for(directory, Step, 120, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENCE_S)
    reached = events(directory, Step)[-1].step
    assert reached < 400, "the run was over before it could be killed"
    assert directory.state() == "interrupted"
    assert train(directory).step == 400
    first, second = events(directory, Started)
    assert (first.step, first.segment, second.segment) == (0, 1, 2)
    assert 100 <= second.step <= reached
    assert second.step % 50 == 0
    assert_same_bits(checkpoint_tensors(directory, 400), checkpoint_tensors(whole, 400))
    steps = events(directory, Step)
    assert len(steps) == reached + 400 - second.step, "the abandoned stretch stays on record"


def test_obeys_commands_and_signals_and_leaves_nothing_running(
    tmp_path: Path, start: Launch
) -> None:
    directory = new_run(tmp_path, steps=100_000, sample_every=0, save_every=0, validate_every=0)
    directory.send("stop")  # of an earlier session: only what comes after the launch counts
    process = start(directory)
    assert os.getsid(process.pid) == process.pid, "a session of its own"
    wait_for(directory, Step, 3, process)
    assert psutil.Process(process.pid).nice() == NICENESS
    assert json.loads(directory.worker_file.read_text())["pid"] == process.pid
    assert directory.worker_alive()
    with pytest.raises(RunDirectoryError, match="already"):
        launch(directory, resume=True)
    directory.send("save")
    wait_for(directory, Saved, 1, process)
    directory.send("pause")
    wait_for(directory, Paused, 1, process)
    paused = events(directory, Paused)[-1].step
    assert paused in directory.checkpoint_steps()
    assert directory.state() == "paused"
    directory.send("resume")
    wait_for(directory, Step, paused + 3, process)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    [finished] = events(directory, Finished)
    assert finished.reason == "stopped"
    assert finished.step in directory.checkpoint_steps()
    assert not directory.worker_alive()
    assert directory.log_file.read_text() == ""


def test_a_failure_is_on_record_and_in_the_exit_status(tmp_path: Path, start: Launch) -> None:
    directory = new_run(tmp_path, corpus="nowhere.txt")
    process = start(directory)
    assert process.wait(PATIENCE_S) == 1
    assert directory.state() == "failed"
    assert "CorpusError" in directory.log_file.read_text()


def test_a_folder_without_a_run_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert worker.main([str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_run_that_has_a_worker_takes_no_second_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = new_run(tmp_path)
    lock = directory.lock()
    try:
        assert worker.main([str(directory.path)]) == 2
    finally:
        lock.release()
    assert "another worker" in capsys.readouterr().err
