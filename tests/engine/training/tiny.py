"""A tiny run that learns within a second, and ways to look at what it did."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from engine.events import Event, Failed, Finished
from engine.launch import create_run
from engine.run_directory import RunDirectory
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.session import make_control, open_run, run_session

SPEC = ModelSpec(
    hidden_dim=32, num_layers=2, num_heads=2, num_kv_heads=2, mlp_dim=64, max_seq_len=16,
    vocab_size=32, dropout=0.1,
)  # fmt: skip
RUN = RunSpec(
    corpus="text.txt", steps=30, batch_size=4, accumulation_steps=2, warmup_steps=5,
    learning_rate=3e-3, validate_every=10, validation_tokens=320, sample_every=10,
    sample_tokens=8, save_every=7, keep_best=2, threads=1, compile="off", device="cpu",
)  # fmt: skip


def write_text(folder: Path, characters: int = 6_000) -> Path:
    """A text with something to learn: words of a small vocabulary in random order."""
    chance = random.Random(5)
    words = ["sun", "moon", "stars", "and", "night", "light", "the", "of"]
    text = ""
    while len(text) < characters:
        text += chance.choice(words) + chance.choice([" ", " ", " ", ".\n"])
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8")
    return path


def new_run(
    folder: Path, name: str = "run", spec: ModelSpec = SPEC, **changes: Any
) -> RunDirectory:
    """A run on the tiny text, ready to start."""
    text = folder / "text.txt"
    if not text.exists():
        write_text(folder)
    run = RUN.replace(**{"corpus": str(text), **changes})
    return create_run(spec, run, name, folder / name)


def train(
    directory: RunDirectory,
    *,
    resume_step: int | None = None,
    steps: int | None = None,
    listener: Callable[[Event], None] | None = None,
) -> Finished | Failed:
    """One segment in this process, under the run's lock."""
    lock = directory.lock()
    try:
        resumption = open_run(directory, resume_step=resume_step, steps=steps)
        return run_session(directory, resumption, make_control(directory, 0), listener)
    finally:
        lock.release()


def events(directory: RunDirectory, kind: type) -> list[Any]:
    """All events of one kind."""
    return [event for event in directory.events() if isinstance(event, kind)]


def checkpoint_tensors(directory: RunDirectory, step: int) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint, weights and optimizer state."""
    folder = directory.checkpoint_path(step)
    weights = load_file(folder / "model.safetensors")
    return weights | load_file(folder / "optimizer.safetensors")


def assert_same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Both hold the same tensors, to the last bit."""
    assert one.keys() == other.keys()
    assert one
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
