"""Runs on cards as a person types them: a tiny design, and what is done while one trains."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.__main__ import main
from engine.events import Event, Preparing, Warned
from engine.run_directory import RunDirectory
from tests.engine.training.tiny import write_text

SETTINGS = {
    "model.hidden_dim": "32", "model.num_layers": "1", "model.num_heads": "2",
    "model.mlp_dim": "64", "model.max_seq_len": "32", "model.vocab_size": "32",
    "learning_rate": "0.01", "validate_every": "10", "validation_tokens": "320",
    "sample_every": "10", "sample_tokens": "8", "save_every": "10", "threads": "1",
}  # fmt: skip


def train(folder: Path, *more: str, device: str = "n150:0") -> list[str]:
    text = folder / "text.txt"
    if not text.exists():
        write_text(folder)
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    return [
        "train", "first-minute", "--corpus", str(text), "--run", str(folder / "run"), "--batch",
        "4", "--device", device, "--precision", "bf16-mixed", *settings, *more,
    ]  # fmt: skip


def kinds(directory: RunDirectory) -> list[type[Event]]:
    passed_over = (Preparing, Warned)
    return [type(event) for event in directory.events() if not isinstance(event, passed_over)]


def while_training(
    run: RunDirectory, command: list[str], seen: type[Event], then: Callable[[], None]
) -> int:
    """The status of a command; ``then`` is done once its run has recorded an event like that."""
    over = threading.Event()

    def watch() -> None:
        while not any(isinstance(event, seen) for event in run.events()):
            if over.wait(0.02):
                return
        then()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return main(command)
    finally:
        over.set()
        watcher.join()


def interrupt() -> None:
    """As Ctrl-C does."""
    signal.raise_signal(signal.SIGINT)


def interrupt_twice(run: RunDirectory) -> None:
    """Once more when the first has become an order to the worker."""
    interrupt()
    while not run.commands_file.exists():
        time.sleep(0.02)
    interrupt()


def kill(run: RunDirectory) -> None:
    """End its worker as the system does where memory is short."""
    pid = json.loads(run.worker_file.read_text(encoding="utf-8"))["pid"]
    os.kill(pid, signal.SIGKILL)
