"""The run directory under everything that happens to files: crashes, junk, other processes."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import (
    MAX_LINE_BYTES,
    Failed,
    Finished,
    Paused,
    Preparing,
    Resumed,
    Started,
    to_line,
)
from engine.events import Step as StepEvent
from engine.run_directory import (
    EventReader,
    EventWriter,
    LineReader,
    Request,
    RequestReader,
    RunDirectory,
    RunDirectoryError,
    RunRecord,
    events_backwards,
    mend_last_line,
    read_json,
    state_after,
    write_json,
)
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

RECORD = RunRecord(ModelSpec(), RunSpec(prompts=("a", "b")), "title", 5.0, "text", "ab", "cpu", {})
HOLDER = """
import sys
from engine.run_directory import RunDirectory
lock = RunDirectory(sys.argv[1]).lock()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(tmp_path / "run")
    made.create(RECORD)
    return made


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """Files cannot grow beyond this inside: the kernel cuts writes short, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# run.json


def test_the_record_comes_back(directory: RunDirectory) -> None:
    assert directory.record() == RECORD


def test_a_second_run_is_not_written_over_the_first(directory: RunDirectory) -> None:
    with pytest.raises(RunDirectoryError, match="already holds a run"):
        directory.create(RECORD)


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="holds no run"):
        RunDirectory(tmp_path).record()


@given(
    key=st.sampled_from(["spec", "run", "corpus", "created", "versions", "format", "title"]),
    value=st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.just(10**400)
    | st.dictionaries(st.text(), st.integers()),
)  # fmt: skip
def test_a_damaged_record_is_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    directory = RunDirectory(tmp_path_factory.mktemp("damaged") / "run")
    directory.create(RECORD)
    values = json.loads(directory.run_file.read_text())
    values[key] = value
    directory.run_file.write_text(json.dumps(values))
    with suppress(RunDirectoryError):  # any other error fails the test
        directory.record()


def test_a_huge_or_foreign_json_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    for content in (b" " * (17 << 20), b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"a": '):
        file.write_bytes(content)
        with pytest.raises(RunDirectoryError):
            read_json(file)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    write_json(file, {"a": 1})
    with disk_of(1000), pytest.raises(OSError, match="large"):
        write_json(file, {"a": "x" * 5000})
    assert read_json(file) == {"a": 1}


# Locks


def test_the_lock_holds_across_processes_and_dies_with_its_holder(directory: RunDirectory) -> None:
    root = Path(__file__).resolve().parents[2]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        assert directory.worker_alive()
        with pytest.raises(RunDirectoryError, match="another worker"):
            directory.lock()
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    assert not directory.worker_alive()
    directory.lock().release()


def test_looking_whether_a_worker_lives_takes_nothing_away(directory: RunDirectory) -> None:
    assert not directory.worker_alive()
    lock = directory.lock()
    assert directory.worker_alive()
    assert directory.worker_alive()
    lock.release()
    assert not directory.worker_alive()


# State


def test_state_follows_events_and_the_worker(directory: RunDirectory) -> None:
    writer = EventWriter(directory.events_file)
    lock = directory.lock()
    assert directory.state() == "preparing"
    for event, state in (
        (Preparing("text"), "preparing"),
        (Started(0, 9, 1, 1, "cpu", "fp32", 1, 1, 1, 1), "running"),
        (Paused(3), "paused"),
        (Resumed(3), "running"),
        (Failed("x"), "failed"),
    ):
        writer.write(event)
        assert directory.state() == state
    writer.write(Resumed(3))
    lock.release()
    assert directory.state() == "interrupted"
    writer.write(Finished(9, "completed"))
    assert directory.state() == "finished"
    writer.close()


@given(st.text(), st.booleans())
def test_any_last_event_makes_some_state(name: str, alive: bool) -> None:
    assert state_after(name, alive) in {"preparing", "interrupted"} or name


# Reading while another process writes


@given(st.lists(st.binary(max_size=20), max_size=12), st.data())
def test_a_reader_gets_each_whole_line_once_however_they_arrive(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("lines") / "log"
    reader, found = LineReader(path), []
    assert reader.lines() == []
    with path.open("ab", buffering=0) as file:
        for piece in pieces:
            file.write(piece)
            if data.draw(st.booleans()):
                found += reader.lines()
        while lines := reader.lines():
            found += lines
    assert found == b"".join(pieces).split(b"\n")[:-1]


def test_a_line_beyond_all_bounds_is_skipped_and_what_follows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    path.write_bytes(b"x" * 300_000 + b'\n{"command": "stop"}\n')
    assert RequestReader(path, 0).read() == [Request("stop")]
    events = tmp_path / "events.jsonl"
    junk = b"x" * (9 << 20)
    events.write_bytes(to_line(Paused(1, 1.0)) + junk + b"\n" + to_line(Resumed(2, 1.0)))
    reader = EventReader(events)
    assert [*reader.read(), *reader.read()] == [Paused(1, 1.0), Resumed(2, 1.0)]


def test_junk_that_is_still_growing_is_left_behind_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    reader = LineReader(path)
    with path.open("ab", buffering=0) as file:
        file.write(b"x" * 250)
        assert reader.lines(100) == []
        file.write(b"xx\nwhole\nto")
        assert reader.lines(100) == [b"whole"]
        file.write(b"rn\n")
        assert reader.lines(100) == [b"torn"]


def test_unreadable_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"junk\n" + to_line(Paused(1, 1.0)) + b"{}\n")
    reader = EventReader(path)
    assert reader.read() == [Paused(1, 1.0)]
    assert reader.unreadable == 2


def test_the_end_is_read_without_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert list(events_backwards(path)) == []
    lines = [to_line(Paused(n, 1.0)) for n in range(100)]
    path.write_bytes(b"".join(lines) + b'{"event": "pau')
    steps = [event.step for event in events_backwards(path) if isinstance(event, Paused)]
    assert steps == list(range(99, -1, -1))
    some = [event.step for event in events_backwards(path, 500) if isinstance(event, Paused)]
    assert some == list(range(99, 99 - len(some), -1))
    assert 0 < len(some) < 100


# Writing after a crash, and on a full disk


@given(cut=st.integers(0, 400))
def test_a_log_torn_anywhere_is_mended_and_written_on(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "events.jsonl"
    whole = [to_line(Paused(n, 1.0)) for n in range(8)]
    content = b"".join(whole)[:cut]
    path.write_bytes(content)
    complete = sum(1 for n in range(8) if len(b"".join(whole[: n + 1])) - 1 <= cut)
    writer = EventWriter(path)
    writer.write(Resumed(99, 1.0))
    writer.close()
    expected = [Paused(n, 1.0) for n in range(complete)]
    assert EventReader(path).read() == [*expected, Resumed(99, 1.0)]
    assert path.read_bytes().startswith(content[: content.rfind(b"\n") + 1])


def test_a_missing_or_sound_log_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert mend_last_line(path) == 0
    assert not path.exists()
    path.write_bytes(to_line(Paused(1, 1.0)))
    before = path.read_bytes()
    assert mend_last_line(path) == 0
    assert path.read_bytes() == before


def test_junk_without_end_does_not_swallow_what_is_written_after_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(to_line(Paused(1, 1.0)) + b"x" * (3 * MAX_LINE_BYTES))
    writer = EventWriter(path)
    writer.write(Resumed(2, 1.0))
    writer.close()
    reader = EventReader(path)
    assert [*reader.read(), *reader.read()] == [Paused(1, 1.0), Resumed(2, 1.0)]


def test_a_full_disk_loses_no_event(tmp_path: Path) -> None:
    """The line that is cut short is completed, in order, when there is room again."""
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write(Paused(1, 1.0))
    with disk_of(path.stat().st_size + 10):
        for step in (2, 3):
            with pytest.raises(OSError, match="large"):
                writer.write(Paused(step, 1.0))
    writer.write(Paused(4, 1.0), durable=True)
    writer.close()
    assert EventReader(path).read() == [Paused(n, 1.0) for n in (1, 2, 3, 4)]


def test_what_a_full_disk_refuses_is_kept_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventWriter, "MAX_KEPT_BYTES", 200)
    writer = EventWriter(tmp_path / "events.jsonl")
    with disk_of(0):
        for step in range(50):
            with pytest.raises(OSError, match="large"):
                writer.write(Paused(step, 1.0))
    writer.close()
    assert 1 <= len(EventReader(tmp_path / "events.jsonl").read()) <= 4


# Commands


def test_requests_arrive_in_order_and_only_from_the_offset_on(directory: RunDirectory) -> None:
    assert directory.commands_size() == 0
    directory.send("stop")
    reader = RequestReader(directory.commands_file, directory.commands_size())
    assert reader.read() == []
    directory.send("pause")
    directory.send("sample", "Ünïcode \U0001f600\n" * 10)
    assert reader.read() == [Request("pause"), Request("sample", "Ünïcode \U0001f600\n" * 10)]
    directory.send("sample", "\U0001f600" * 9_000)
    assert reader.read() == [Request("sample", "\U0001f600" * 4_096)]


@given(st.binary(max_size=200))
def test_junk_among_commands_is_skipped(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("commands") / "commands.jsonl"
    path.write_bytes(junk + b'\n{"command": "save"}\n')
    assert RequestReader(path, 0).read()[-1] == Request("save")


@pytest.mark.parametrize("line", [b"[]", b"7", b'"stop"', b"{}", b"null", b'{"command": 10e999}'])
def test_lines_that_are_no_commands_are_skipped(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "commands.jsonl"
    path.write_bytes(line + b"\n")
    assert all(isinstance(request.command, str) for request in RequestReader(path, 0).read())


# Checkpoints


def test_only_whole_checkpoints_are_listed_and_removed_ones_are_gone(
    directory: RunDirectory,
) -> None:
    for name in ("step-000007", "step-1000000", ".writing-step-000008", "step-9", "step-000009x"):
        (directory.checkpoints / name).mkdir()
    assert directory.checkpoint_steps() == [7, 1_000_000]
    (directory.checkpoint_path(7) / "model.safetensors").write_bytes(b"x")
    directory.remove_checkpoint(7)
    assert directory.checkpoint_steps() == [1_000_000]
    assert not [p for p in directory.checkpoints.iterdir() if "000007" in p.name]


def test_a_step_event_has_what_every_reader_relies_on() -> None:
    values = json.loads(to_line(StepEvent(1, 2, 3.0, 0.1, 1.0, 0.5, 4.0, 5)))
    expected = {"step", "tokens", "loss", "lr", "grad_norm", "step_s", "tokens_per_s", "time"}
    assert expected <= set(values)
