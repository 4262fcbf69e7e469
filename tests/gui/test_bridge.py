"""The bridge against real processes, real files and everything that can go wrong with them."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from engine.events import Event, Finished, Sample, Started, Step, to_line
from engine.run_directory import EventWriter, RunDirectory
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.gui.bridge_double import DoubleLauncher, record, started, step
from trickster_gui.bridge import EngineLauncher, RunBridge

MODEL, RUN = ModelSpec(), RunSpec()


class Listener:
    """Everything a bridge has said."""

    def __init__(self, bridge: RunBridge) -> None:
        self.batches: list[tuple[Event, ...]] = []
        self.threads: set[threading.Thread] = set()
        self.states: list[str] = []
        self.problems: list[tuple[str, str]] = []
        self.notices: list[str] = []
        self.loaded: list[float] = []
        self.restarts = 0
        bridge.events.connect(self._events)
        bridge.state_changed.connect(self.states.append)
        bridge.problem.connect(lambda title, text: self.problems.append((title, text)))
        bridge.notice.connect(self.notices.append)
        bridge.loading.connect(self.loaded.append)
        bridge.restarted.connect(self._restarted)

    def _events(self, batch: tuple[Event, ...]) -> None:
        self.batches.append(batch)
        self.threads.add(threading.current_thread())

    def _restarted(self) -> None:
        self.restarts += 1
        self.batches.clear()

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]

    def steps(self) -> list[int]:
        return [event.step for event in self.events if isinstance(event, Step)]


Open = Callable[..., tuple[RunBridge, Listener]]


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[DoubleLauncher]:
    launcher = DoubleLauncher(tmp_path / "runs")
    yield launcher
    for process in launcher.processes:
        process.kill()
        process.wait()


@pytest.fixture
def open_bridge(qtbot: QtBot, launcher: DoubleLauncher) -> Iterator[Open]:
    bridges: list[RunBridge] = []

    def make(chosen: object = None) -> tuple[RunBridge, Listener]:
        bridge = RunBridge(launcher=chosen or launcher)  # type: ignore[arg-type]
        bridges.append(bridge)
        return bridge, Listener(bridge)

    yield make
    for bridge in bridges:
        bridge.shutdown()
    forget_ended_dummies()


def forget_ended_dummies() -> None:
    """Before Python 3.12, a foreign thread that asked for ``current_thread`` stays listed when it
    has ended; what runs Python code has a frame."""
    for thread in threading.enumerate():
        if isinstance(thread, threading._DummyThread) and thread.ident not in sys._current_frames():
            threading._active.pop(thread.ident, None)  # type: ignore[attr-defined]


def ended_run(path: Path, count: int) -> RunDirectory:
    directory = RunDirectory(path)
    directory.create(record(MODEL, RUN, path.name))
    writer = EventWriter(directory.events_file)
    writer.close()
    with directory.events_file.open("ab") as file:
        file.write(to_line(started(0)))
        file.writelines(to_line(step(number)) for number in range(1, count + 1))
        file.write(to_line(Finished(count, "completed")))
    return directory


def test_a_run_starts_streams_and_stops(qtbot: QtBot, open_bridge: Open) -> None:
    bridge, heard = open_bridge()
    bridge.start(MODEL, RUN, "first")
    assert bridge.state == "preparing"
    qtbot.waitUntil(lambda: len(heard.steps()) > 50, timeout=10_000)
    assert bridge.watched is not None
    assert bridge.watched.title == "first"
    bridge.stop()
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=10_000)
    assert heard.states == ["preparing", "running", "finished"]
    assert heard.steps() == list(range(1, len(heard.steps()) + 1))
    assert isinstance(heard.events[-1], Finished)
    assert heard.threads == {threading.main_thread()}
    assert heard.problems == []


def test_batches_come_at_most_twenty_times_a_second(qtbot: QtBot, open_bridge: Open) -> None:
    bridge, heard = open_bridge()
    bridge.start(MODEL, RUN, "run")
    qtbot.waitUntil(lambda: len(heard.steps()) > 5, timeout=10_000)
    began, before = time.monotonic(), len(heard.batches)
    qtbot.waitUntil(lambda: len(heard.batches) >= before + 20, timeout=10_000)
    assert time.monotonic() - began > 0.9 * 20 * 0.05
    bridge.stop()
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=10_000)


def test_pause_sample_and_go_on(qtbot: QtBot, open_bridge: Open) -> None:
    bridge, heard = open_bridge()
    bridge.start(MODEL, RUN, "run")
    qtbot.waitUntil(lambda: bridge.state == "running", timeout=10_000)
    bridge.pause()
    qtbot.waitUntil(lambda: bridge.state == "paused", timeout=10_000)
    bridge.sample("To be")
    qtbot.waitUntil(
        lambda: any(isinstance(event, Sample) for event in heard.events), timeout=10_000
    )
    assert bridge.state == "paused"
    bridge.resume_now()
    qtbot.waitUntil(lambda: bridge.state == "running", timeout=10_000)
    bridge.stop()
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=10_000)


def test_the_worker_outlives_its_window_and_a_second_one_finds_it(
    qtbot: QtBot, open_bridge: Open, launcher: DoubleLauncher
) -> None:
    first, _ = open_bridge()
    first.start(MODEL, RUN, "run")
    qtbot.waitUntil(lambda: first.state == "running", timeout=10_000)
    first.shutdown()
    assert launcher.processes[0].poll() is None
    second, heard = open_bridge()
    second.attach_latest()
    qtbot.waitUntil(lambda: second.state == "running", timeout=10_000)
    qtbot.waitUntil(lambda: len(heard.steps()) > 20, timeout=10_000)
    assert heard.steps()[0] == 1
    assert len(heard.notices) == 1
    second.stop()
    qtbot.waitUntil(lambda: second.state == "finished", timeout=10_000)


def test_a_killed_worker_is_reported_and_the_run_resumed(
    qtbot: QtBot, open_bridge: Open, launcher: DoubleLauncher
) -> None:
    bridge, heard = open_bridge()
    bridge.start(MODEL, RUN, "run")
    qtbot.waitUntil(lambda: bridge.state == "running", timeout=10_000)
    bridge.save()
    assert bridge.watched is not None
    directory = RunDirectory(bridge.watched.path)
    qtbot.waitUntil(lambda: bool(directory.checkpoint_steps()), timeout=10_000)
    os.kill(launcher.processes[0].pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: bridge.state == "interrupted", timeout=10_000)
    qtbot.waitUntil(lambda: len(heard.problems) == 1, timeout=10_000)
    title, text = heard.problems[0]
    assert title == "Training was interrupted"
    assert "memory ran out" in text
    assert f"checkpoint of step {directory.checkpoint_steps()[-1]:,}" in text
    assert "the worker says hello" in text
    bridge.resume(directory.path)
    qtbot.waitUntil(lambda: bridge.state == "running", timeout=10_000)
    qtbot.waitUntil(
        lambda: [event.step for event in heard.events if isinstance(event, Started)][-1] > 0,
        timeout=10_000,
    )
    bridge.stop()
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=10_000)


def test_a_worker_that_dies_at_once_says_why(
    qtbot: QtBot, open_bridge: Open, launcher: DoubleLauncher
) -> None:
    launcher.behaviour = "mute"
    bridge, heard = open_bridge()
    bridge.start(MODEL, RUN, "run")
    qtbot.waitUntil(lambda: bool(heard.problems), timeout=10_000)
    assert bridge.state == "interrupted"
    assert "exit status 3" in heard.problems[0][1]
    assert "something odd happened" in heard.problems[0][1]


def test_a_worker_of_another_window_can_be_ended(
    qtbot: QtBot, open_bridge: Open, launcher: DoubleLauncher
) -> None:
    bridge, _ = open_bridge()
    bridge.start(MODEL, RUN, "run")
    qtbot.waitUntil(lambda: bridge.state == "running", timeout=10_000)
    bridge.kill()
    qtbot.waitUntil(lambda: bridge.state == "interrupted", timeout=10_000)
    assert launcher.processes[0].poll() == -signal.SIGKILL


def test_the_folder_is_deleted_while_the_run_goes_on(
    qtbot: QtBot, open_bridge: Open, tmp_path: Path
) -> None:
    bridge, heard = open_bridge()
    bridge.start(MODEL, RUN, "run")
    qtbot.waitUntil(lambda: bridge.state == "running", timeout=10_000)
    shutil.rmtree(tmp_path / "runs" / "run")
    qtbot.waitUntil(lambda: bridge.state == "failed", timeout=10_000)
    assert heard.problems[-1][0] == "The folder of this run is gone"
    assert str(tmp_path / "runs" / "run") in heard.problems[-1][1]


@pytest.mark.parametrize("left", ["log.txt", "checkpoints/step-000339/model.safetensors"])
def test_what_is_left_of_a_deleted_folder_is_no_interrupted_run(
    qtbot: QtBot, open_bridge: Open, launcher: DoubleLauncher, tmp_path: Path, left: str
) -> None:
    bridge, heard = open_bridge()
    bridge.start(MODEL, RUN, "run")
    qtbot.waitUntil(lambda: bridge.state == "running", timeout=10_000)
    folder = tmp_path / "runs" / "run"
    shutil.rmtree(folder)
    (folder / left).parent.mkdir(parents=True)
    (folder / left).write_bytes(b"something")
    launcher.processes[0].wait(10)
    qtbot.waitUntil(lambda: bridge.state == "failed", timeout=10_000)
    qtbot.waitUntil(lambda: bool(heard.problems), timeout=10_000)
    assert [title for title, _ in heard.problems] == ["The folder of this run is gone"]
    assert "deleted" in heard.problems[0][1]
    assert "exit status" not in heard.problems[0][1]
    assert "interrupted" not in heard.states


def test_a_record_that_is_cut_short_is_read_anew(
    qtbot: QtBot, open_bridge: Open, tmp_path: Path
) -> None:
    directory = ended_run(tmp_path / "old", 500)
    bridge, heard = open_bridge()
    bridge.attach(directory.path)
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=10_000)
    directory.events_file.write_bytes(to_line(started(0)) + to_line(step(1)))
    qtbot.waitUntil(lambda: heard.restarts == 1, timeout=10_000)
    qtbot.waitUntil(lambda: heard.steps() == [1], timeout=10_000)
    assert "replaced" in heard.problems[0][0]


def test_garbage_in_the_record_is_left_out_and_counted(
    qtbot: QtBot, open_bridge: Open, tmp_path: Path
) -> None:
    directory = ended_run(tmp_path / "old", 5)
    with directory.events_file.open("ab") as file:
        file.write(b"\x00\xff\xfe garbage\n[1, 2]\n" + b"[" * 100_000 + b"\n")
        file.write(to_line(step(6)))
    bridge, heard = open_bridge()
    bridge.attach(directory.path)
    qtbot.waitUntil(lambda: bool(heard.problems), timeout=10_000)
    assert heard.steps() == [1, 2, 3, 4, 5, 6]
    assert heard.problems[0][1].startswith("3 lines")


def test_a_long_record_is_read_in_portions_with_progress(
    qtbot: QtBot, open_bridge: Open, tmp_path: Path
) -> None:
    directory = ended_run(tmp_path / "old", 30_000)
    bridge, heard = open_bridge()
    bridge.attach(directory.path)
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=30_000)
    assert heard.steps() == list(range(1, 30_001))
    assert max(len(batch) for batch in heard.batches) <= 4_000
    assert heard.loaded == sorted(heard.loaded)
    assert heard.loaded[-1] == 1.0
    assert heard.states == ["finished"]


def test_a_folder_without_a_run(qtbot: QtBot, open_bridge: Open, tmp_path: Path) -> None:
    bridge, heard = open_bridge()
    bridge.attach(tmp_path)
    qtbot.waitUntil(lambda: bool(heard.problems), timeout=10_000)
    assert "no run.json" in heard.problems[0][1]
    assert bridge.state == "none"


def test_no_run_at_all(qtbot: QtBot, open_bridge: Open) -> None:
    bridge, heard = open_bridge()
    bridge.attach_latest()
    bridge.pause()
    qtbot.waitUntil(lambda: bool(heard.problems), timeout=10_000)
    assert bridge.state == "none"
    assert bridge.watched is None


def test_a_name_that_is_taken(qtbot: QtBot, open_bridge: Open, tmp_path: Path) -> None:
    ended_run(tmp_path / "runs" / "taken", 1)
    bridge, heard = open_bridge()
    bridge.start(MODEL, RUN, "taken")
    qtbot.waitUntil(lambda: bool(heard.problems), timeout=10_000)
    assert "already holds a run" in heard.problems[0][1]
    assert bridge.state == "none"


def test_an_interpreter_that_is_missing(
    qtbot: QtBot, open_bridge: Open, launcher: DoubleLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    bridge, heard = open_bridge()
    bridge.start(MODEL, RUN, "run")
    qtbot.waitUntil(lambda: bool(heard.problems), timeout=10_000)
    assert bridge.state in ("failed", "none")
    assert "/no/such/python" in heard.problems[0][1]


def test_another_run_silences_the_first(qtbot: QtBot, open_bridge: Open, tmp_path: Path) -> None:
    first, second = ended_run(tmp_path / "one", 5_000), ended_run(tmp_path / "two", 3)
    bridge, heard = open_bridge()
    bridge.attach(first.path)
    bridge.attach(second.path)
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=10_000)
    assert heard.steps() == [1, 2, 3]


def test_background_calls_end_in_the_windows_thread(qtbot: QtBot, open_bridge: Open) -> None:
    bridge, _ = open_bridge()
    results: list[object] = []
    errors: list[str] = []
    threads: list[threading.Thread] = []

    def done(result: object) -> None:
        results.append(result)
        threads.append(threading.current_thread())

    def fail() -> None:
        raise ValueError("the text is empty: choose another")

    bridge.run_in_background(threading.get_ident, done, errors.append)
    bridge.run_in_background(fail, done, errors.append)
    qtbot.waitUntil(lambda: bool(results) and bool(errors), timeout=10_000)
    assert results[0] != threading.get_ident()
    assert errors == ["the text is empty: choose another"]
    assert threads == [threading.main_thread()]


def test_what_a_call_reports_is_heard_in_order_in_the_windows_thread(
    qtbot: QtBot, open_bridge: Open
) -> None:
    bridge, _ = open_bridge()
    heard: list[object] = []
    threads: set[threading.Thread] = set()

    def progress(report: object) -> None:
        heard.append(report)
        threads.add(threading.current_thread())

    def work(report: Callable[[object], None]) -> str:
        for number in range(3):
            report(number)
        return "done"

    bridge.run_reporting(work, progress, heard.append, heard.append)
    qtbot.waitUntil(lambda: len(heard) == 4, timeout=10_000)
    assert heard == [0, 1, 2, "done"]
    assert threads == {threading.main_thread()}


def test_a_cancelled_call_is_not_heard_of(qtbot: QtBot, open_bridge: Open) -> None:
    bridge, _ = open_bridge()
    gate, heard = threading.Event(), []
    task = bridge.run_in_background(gate.wait, heard.append, heard.append)
    task.cancel()
    gate.set()
    after: list[object] = []
    bridge.run_in_background(lambda: 1, after.append, after.append)
    qtbot.waitUntil(lambda: after == [1], timeout=10_000)
    assert heard == []


def test_calibration_of_an_interpreter_that_cannot(
    qtbot: QtBot, open_bridge: Open, tmp_path: Path
) -> None:
    bridge, _ = open_bridge(EngineLauncher(tmp_path / "python"))
    errors: list[str] = []
    bridge.calibrate(lambda line: None, lambda text: None, errors.append)
    qtbot.waitUntil(lambda: bool(errors), timeout=10_000)
    assert "could not be started" in errors[0]


def test_a_child_process_is_killed_with_the_window(qtbot: QtBot, open_bridge: Open) -> None:
    bridge, _ = open_bridge()
    lines: list[str] = []
    code = "import time; print('begun', flush=True); time.sleep(60)"
    heard: list[object] = []
    bridge._background.child(
        Path(sys.executable), ("-c", code), lines.append, heard.append, heard.append
    )
    qtbot.waitUntil(lambda: lines == ["begun"], timeout=10_000)
    bridge.shutdown()
    assert heard == []
