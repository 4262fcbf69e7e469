"""The run directory: the single record of a run, written by one worker, read by anybody.

run.json            what was asked for, and on what
events.jsonl        append-only, one event a line (engine.events)
commands.jsonl      append-only, what a person asked of the worker
tokenizer.json      so that the run can be used without its text
checkpoints/step-000500/   model.safetensors, optimizer.safetensors, state.json
worker.json         process id and start time of the last worker
worker.lock         held by the worker as long as it lives
log.txt             what the worker had to say
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import filelock

from engine.events import MAX_LINE_BYTES, Event, parse_line, to_line
from engine.run_spec import RunSpec, run_from_dict, run_to_dict
from engine.spec import ModelSpec, spec_from_dict, spec_to_dict

FORMAT = 1
_MAX_JSON_BYTES = 16 << 20
_CHECKPOINT = re.compile(r"step-(\d{6,12})")
State = Literal["preparing", "running", "paused", "finished", "failed", "interrupted"]
_STATES: dict[str, State] = {
    "preparing": "preparing",
    "started": "running",
    "step": "running",
    "paused": "paused",
    "resumed": "running",
    "finished": "finished",
    "failed": "failed",
}
Command = Literal["pause", "resume", "stop", "save", "sample", "validate"]


class RunDirectoryError(Exception):
    """A run directory that cannot be used; the message says which file and what to do."""


@dataclass(frozen=True)
class RunRecord:
    """What run.json holds."""

    model: ModelSpec
    run: RunSpec
    title: str
    created: float
    corpus_name: str
    corpus_sha256: str
    device: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """One line of commands.jsonl."""

    command: str
    prompt: str = ""


class RunDirectory:
    """One run's folder. Making the object touches nothing; ``create`` makes the folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.run_file = self.path / "run.json"
        self.events_file = self.path / "events.jsonl"
        self.commands_file = self.path / "commands.jsonl"
        self.tokenizer_file = self.path / "tokenizer.json"
        self.worker_file = self.path / "worker.json"
        self.lock_file = self.path / "worker.lock"
        self.log_file = self.path / "log.txt"
        self.checkpoints = self.path / "checkpoints"

    def create(self, record: RunRecord) -> None:
        """Make the folder and run.json; raise RunDirectoryError if a run is there already."""
        if self.run_file.exists():
            raise RunDirectoryError(
                f"{self.path} already holds a run: resume it, or choose another folder"
            )
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.write_record(record)
        except OSError as error:
            raise RunDirectoryError(f"cannot write {self.path}: {error.strerror}") from error

    def write_record(self, record: RunRecord) -> None:
        """Write run.json whole or not at all."""
        values = {
            "format": FORMAT,
            "title": record.title,
            "created": record.created,
            "spec": spec_to_dict(record.model),
            "run": run_to_dict(record.run),
            "seed": record.run.seed,
            "corpus": {"name": record.corpus_name, "sha256": record.corpus_sha256},
            "device": record.device,
            "versions": dict(record.versions),
        }
        write_json(self.run_file, values)

    def record(self) -> RunRecord:
        """Read run.json; raise RunDirectoryError where it is missing or not ours."""
        values = self._read_run_file()
        try:
            return RunRecord(
                model=spec_from_dict(values["spec"]),
                run=run_from_dict(values["run"]),
                title=str(values.get("title", self.path.name)),
                created=float(values.get("created", 0.0)),
                corpus_name=str(values["corpus"]["name"]),
                corpus_sha256=str(values["corpus"]["sha256"]),
                device=str(values.get("device", "")),
                versions={str(k): str(v) for k, v in dict(values.get("versions", {})).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RunDirectoryError(f"{self.run_file} is damaged: {error}") from error

    def _read_run_file(self) -> dict[str, Any]:
        if not self.run_file.is_file():
            raise RunDirectoryError(f"{self.path} holds no run: there is no run.json in it")
        values = read_json(self.run_file)
        if values.get("format") != FORMAT:
            raise RunDirectoryError(f"{self.run_file} has a format that this program cannot read")
        return values

    def worker_alive(self) -> bool:
        """Whether a worker holds this run now (true across processes, false after any crash)."""
        if not self.lock_file.exists():
            return False
        lock = filelock.FileLock(self.lock_file)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        lock.release()
        return False

    def require_no_worker(self) -> None:
        """Raise RunDirectoryError where a worker holds this run."""
        if self.worker_alive():
            raise RunDirectoryError(f"a worker is on {self.path} already")

    def lock(self) -> filelock.BaseFileLock:
        """Take the run for this worker until the process ends or the lock is released.

        Raises RunDirectoryError if another worker has it.
        """
        lock = filelock.FileLock(self.lock_file)
        try:
            lock.acquire(timeout=3)
        except filelock.Timeout:
            raise RunDirectoryError(f"another worker is on {self.path} already") from None
        return lock

    def events(self) -> Iterator[Event]:
        """All whole events so far."""
        reader = EventReader(self.events_file)
        while batch := reader.read():
            yield from batch

    def state(self) -> State:
        """What the run is doing now, from its last events and whether its worker lives."""
        events = events_backwards(self.events_file)
        last = next((event.name for event in events if event.name in _STATES), "")
        return state_after(last, self.worker_alive())

    def send(self, command: Command, prompt: str = "") -> None:
        """Append a request for the worker to read before its next step."""
        line = json.dumps({"command": command, "prompt": prompt[:4096]}) + "\n"
        with self.commands_file.open("ab", buffering=0) as file:
            file.write(line.encode())

    def commands_size(self) -> int:
        """Bytes of commands so far: a worker started now obeys only what comes after them."""
        try:
            return self.commands_file.stat().st_size
        except OSError:
            return 0

    def checkpoint_path(self, step: int) -> Path:
        """Folder of the checkpoint after ``step`` updates."""
        return self.checkpoints / f"step-{step:06d}"

    def checkpoint_steps(self) -> list[int]:
        """Steps of all whole checkpoints, ascending. Half-written ones have other names."""
        if not self.checkpoints.is_dir():
            return []
        found = (_CHECKPOINT.fullmatch(entry.name) for entry in self.checkpoints.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def remove_checkpoint(self, step: int) -> None:
        """Delete a checkpoint: renamed first, so that it is never seen half gone."""
        path = self.checkpoint_path(step)
        doomed = path.with_name(f".removing-{path.name}")
        path.replace(doomed)
        shutil.rmtree(doomed)


def state_after(last_event: str, alive: bool) -> State:
    """The state of a run whose last telling event was ``last_event`` (a name, "" for none)."""
    if last_event in ("finished", "failed"):
        return _STATES[last_event]
    if not alive:
        return "interrupted"
    return _STATES.get(last_event, "preparing")


class EventWriter:
    """Appends events; mends a torn last line first. One writer a run (the worker).

    What a full disk refuses is kept, up to ``MAX_KEPT_BYTES``, and written before the next event.
    """

    MAX_KEPT_BYTES = 16 << 20

    def __init__(self, path: Path) -> None:
        mend_last_line(path)
        self._file = path.open("ab", buffering=0)
        self._kept = b""

    def write(self, event: Event, *, durable: bool = False) -> None:
        """Append one event; with ``durable`` it has reached the disk on return.

        Raises OSError where the disk refuses; the event is then kept for the next call.
        """
        line = to_line(event)
        if len(self._kept) + len(line) <= self.MAX_KEPT_BYTES:
            self._kept += line
        self._write_kept()
        if durable:
            os.fsync(self._file.fileno())

    def _write_kept(self) -> None:
        while self._kept:
            written = self._file.write(self._kept)  # may be part of it on a disk nearly full
            self._kept = self._kept[written:]

    def close(self) -> None:
        """Close the file; raises OSError where kept events still cannot be written."""
        try:
            self._write_kept()
        finally:
            self._file.close()


class LineReader:
    """Follows a growing file of lines: each ``lines`` call returns the whole ones that are new."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self._inside_junk = False

    def lines(self, limit_bytes: int = 4 << 20) -> list[bytes]:
        """New whole lines, at most about ``limit_bytes`` of them; a torn last line waits.

        A line longer than ``limit_bytes`` is nobody's: it is skipped whole.
        """
        try:
            with self.path.open("rb") as file:
                while True:
                    file.seek(self.offset)
                    block = file.read(limit_bytes)
                    if self._inside_junk:
                        self._leave_junk(block)
                        if not block:
                            return []
                        continue
                    end = block.rfind(b"\n") + 1
                    if end:
                        self.offset += end
                        return block[: end - 1].split(b"\n")
                    if len(block) < limit_bytes:
                        return []
                    self._inside_junk = True
        except FileNotFoundError:
            return []

    def _leave_junk(self, block: bytes) -> None:
        end = block.find(b"\n") + 1
        self._inside_junk = end == 0
        self.offset += end or len(block)


class EventReader:
    """Follows events.jsonl from any process, any number of times, live or long finished."""

    def __init__(self, path: Path) -> None:
        self._lines = LineReader(path)
        self.unreadable = 0

    def read(self) -> list[Event]:
        """Events that are new since the last call; empty when there are none yet."""
        while lines := self._lines.lines():
            events = [parse_line(line) for line in lines]
            readable = [event for event in events if event is not None]
            self.unreadable += len(events) - len(readable)
            if readable:
                return readable
        return []


def events_backwards(path: Path, most_bytes: int = 4 << 20) -> Iterator[Event]:
    """Events from the end of a log, out of its last ``most_bytes``: a long log has gigabytes."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - most_bytes)
            file.seek(start)
            lines = file.read(most_bytes).split(b"\n")
    except FileNotFoundError:
        return
    for line in reversed(lines[1:] if start else lines):  # the first may be cut off
        event = parse_line(line) if line else None
        if event is not None:
            yield event


class RequestReader:
    """Follows commands.jsonl from ``offset`` on."""

    def __init__(self, path: Path, offset: int) -> None:
        self._lines = LineReader(path, offset)

    def read(self) -> list[Request]:
        """Requests that are new since the last call; lines that are none are skipped."""
        requests = (_parse_request(line) for line in self._lines.lines(64 << 10))
        return [request for request in requests if request is not None]


def _parse_request(line: bytes) -> Request | None:
    try:
        values = json.loads(line)
        return Request(str(values["command"]), str(values.get("prompt", "")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def mend_last_line(path: Path) -> int:
    """Cut off a torn last line (or end a whole one with its newline); return bytes removed."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        tail_size = min(size, MAX_LINE_BYTES + 1)
        file.seek(size - tail_size)
        tail = file.read()
        torn = tail[tail.rfind(b"\n") + 1 :]
        if not torn:
            return 0
        if parse_line(torn) is not None or len(torn) > MAX_LINE_BYTES:
            file.write(b"\n")  # a whole event, or junk of unknown length that readers skip
            return 0
        file.truncate(size - len(torn))
        return len(torn)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all: aside, to the disk, then renamed."""
    aside = path.with_name(f".{path.name}.writing")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(values, file, ensure_ascii=False, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` survive a power cut (a no-op where that is not possible)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: Path) -> dict[str, Any]:
    """Read a bounded JSON object; raise RunDirectoryError where that is not what is there."""
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise RunDirectoryError(f"{path} is too large to be what its name says")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunDirectoryError(f"cannot read {path}: {error}") from error
    if not isinstance(values, dict):
        raise RunDirectoryError(f"{path} does not hold what its name says")
    return values
