"""Checkpoints of cards are those of torch: each goes on with what the other wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from engine.events import Failed, Started, Step
from engine.run_directory import RunDirectory
from tests.engine.backends.card.numpy_model import NumpyModel, train_card
from tests.engine.backends.card.test_loop import at_step, card_run
from tests.engine.training.tiny import checkpoint_tensors, events, train


def moved(directory: RunDirectory, device: str) -> None:
    """As if the run had been set to another device."""
    record = directory.record()
    directory.write_record(replace(record, run=record.run.replace(device=device)))
    directory.commands_file.unlink(missing_ok=True)


def test_what_a_card_began_torch_goes_on_with(tmp_path: Path) -> None:
    directory = card_run(tmp_path, learning_rate=1e-3)
    train_card(directory, listener=at_step(directory, 13, "stop"))
    kept = checkpoint_tensors(directory, 13)
    moved(directory, "cpu")
    assert train(directory).reason == "completed"
    assert [(s.step, s.device) for s in events(directory, Started)] == [(0, "n150:0"), (13, "cpu")]
    assert [s.step for s in events(directory, Step)] == list(range(1, 31))
    gone_on = checkpoint_tensors(directory, 30)
    assert kept.keys() == gone_on.keys()
    assert all(kept[name].shape == gone_on[name].shape for name in kept)


def test_what_torch_began_a_card_goes_on_with(tmp_path: Path) -> None:
    directory = card_run(tmp_path, device="cpu", learning_rate=1e-3)
    train(directory, listener=at_step(directory, 13, "stop"))
    weights = load_file(directory.checkpoint_path(13) / "model.safetensors")
    moved(directory, "n150")
    taken: list[dict[str, np.ndarray]] = []

    class Watched(NumpyModel):
        def load(self, *arguments: object) -> None:
            super().load(*arguments)  # type: ignore[arg-type]
            taken.append(self.weights())

    assert train_card(directory, Watched).reason == "completed"
    assert all(np.array_equal(taken[0][name], weights[name]) for name in weights)
    assert [s.step for s in events(directory, Started)] == [0, 13]


def test_the_state_is_that_of_every_run(tmp_path: Path) -> None:
    directory = card_run(tmp_path, steps=7)
    train_card(directory)
    state = json.loads((directory.checkpoint_path(7) / "state.json").read_text())
    assert (state["step"], state["tokens"], state["segment"]) == (7, 7 * 128, 1)
    assert state["random_states"] == {}
    assert state["schedule"]["steps"] == 7
    assert state["versions"]["double"] == "1"
    optimizer = load_file(directory.checkpoint_path(7) / "optimizer.safetensors")
    assert "exp_avg_sq/model.norm.weight" in optimizer


@pytest.mark.parametrize("harm", ["missing", "shape", "type", "nan", "file"])
def test_a_damaged_checkpoint_is_refused_before_the_model_is_touched(
    tmp_path: Path, harm: str
) -> None:
    directory = card_run(tmp_path)
    train_card(directory, listener=at_step(directory, 13, "stop"))
    path = directory.checkpoint_path(13) / "model.safetensors"
    weights, name = load_file(path), "model.layers.1.mlp.up_proj.weight"
    if harm == "missing":
        del weights[name]
    elif harm == "shape":
        weights[name] = weights[name].T.copy()
    elif harm == "type":
        weights[name] = weights[name].astype(np.float16)
    elif harm == "nan":
        weights[name][3, 3] = np.nan
    save_file(weights, path)
    if harm == "file":
        path.write_bytes(b"not this")
    directory.commands_file.unlink()
    loads = [model.steps for model in NumpyModel.opened]
    end = train_card(directory)
    assert isinstance(end, Failed)
    assert str(path) in end.message
    assert "Other checkpoints are kept" in end.advice
    assert [model.steps for model in NumpyModel.opened] == [*loads, 0]
