"""A small stand-in for the worker, for tests of the bridge: a real process that writes a real run.

Run as a script it is the worker: ``python bridge_double.py RUN_DIRECTORY BEHAVIOUR FIRST_STEP``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engine import events
from engine.run_directory import EventWriter, RequestReader, RunDirectory, RunRecord
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.bridge.orders import Elsewhere

ROOT = Path(__file__).parents[2]
TOTAL_STEPS = 100_000


def record(model: ModelSpec, run: RunSpec, title: str) -> RunRecord:
    return RunRecord(model, run, title, time.time(), "text", "0" * 64, "cpu", {})


class DoubleLauncher:
    """Makes real run directories under ``home`` and starts this file as their worker."""

    def __init__(self, home: Path, behaviour: str = "steady") -> None:
        self.home, self.behaviour = home, behaviour
        self.processes: list[subprocess.Popen[bytes]] = []

    def create(self, model: ModelSpec, run: RunSpec, title: str) -> RunDirectory:
        directory = RunDirectory(self.home / title)
        directory.create(record(model, run, title))
        return directory

    def launch(
        self, directory: RunDirectory, *, resume: bool, steps: int | None, from_step: int | None,
        elsewhere: Elsewhere,
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        first = max(directory.checkpoint_steps(), default=0) if resume else 0
        first = first if from_step is None else from_step
        with directory.log_file.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, __file__, str(directory.path), self.behaviour, str(first)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        self.processes.append(process)
        return process

    def runs(self) -> Sequence[Path]:
        found = self.home.iterdir() if self.home.is_dir() else iter(())
        return sorted(found, key=lambda path: -path.stat().st_mtime)


def started(first: int) -> events.Started:
    return events.Started(
        first, TOTAL_STEPS, 0, 1000, "cpu", "fp32", 64, 10_000, 1_000, 256,
        {"uniform": 5.545, "1-gram": 3.3}, {"peak_bytes": 1e6, "step_s": 0.01},
    )  # fmt: skip


def step(number: int) -> events.Step:
    return events.Step(number, 64 * number, 5.0 / (1 + number), 1e-3, 0.5, 0.01, 6_400.0, 1 << 20)


def work(path: Path, behaviour: str, first: int) -> None:
    directory = RunDirectory(path)
    asked = RequestReader(directory.commands_file, directory.commands_size())
    lock = directory.lock()
    writer = EventWriter(directory.events_file)
    print("the worker says hello", flush=True)
    if behaviour == "mute":
        print("something odd happened", flush=True)
        os._exit(3)
    writer.write(events.Preparing("Reading text", 0.5))
    writer.write(started(first))
    number, paused, end = first, False, time.monotonic() + 60
    while time.monotonic() < end and directory.events_file.exists():
        for request in asked.read():
            if request.command == "pause":
                paused = True
                writer.write(events.Paused(number))
            elif request.command == "resume":
                paused = False
                writer.write(events.Resumed(number))
            elif request.command == "sample":
                writer.write(events.Sample(number, request.prompt, " ok", 1, 0.1, True))
            elif request.command == "save":
                directory.checkpoint_path(number).mkdir(exist_ok=True)
                writer.write(events.Saved(number, f"checkpoints/step-{number:06d}", False))
            elif request.command == "stop":
                writer.write(events.Finished(number, "stopped"))
                writer.close()
                lock.release()
                return
        if not paused:
            number += 1
            writer.write(step(number))
        time.sleep(0.005)


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
