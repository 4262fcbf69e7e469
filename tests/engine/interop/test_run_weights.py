"""Which checkpoint, and whether its weights are this model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from engine.data.tokenizers.byte import ByteTokenizer
from engine.interop.run_weights import choose_step, read_weights
from engine.run_directory import RunDirectory, RunDirectoryError
from tests.engine.interop.trained_run import make_model, make_run
from tests.engine.models.designs import tiny

BYTES = tiny(vocab_size=256)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    models = {step: make_model(BYTES, step) for step in (0, 10, 20, 30)}
    losses = {0: 5.0, 10: 2.0, 20: 3.0}  # 30 was not measured
    return make_run(tmp_path / "run", models, ByteTokenizer(), losses=losses)


def test_the_newest_the_best_or_the_one_asked_for(directory: RunDirectory) -> None:
    assert choose_step(directory) == 30
    assert choose_step(directory, best=True) == 10
    assert choose_step(directory, 20) == 20


def test_a_step_that_has_no_checkpoint_is_refused_with_those_that_have(
    directory: RunDirectory,
) -> None:
    with pytest.raises(RunDirectoryError, match="step 15: there are 0, 10, 20, 30"):
        choose_step(directory, 15)


def test_folders_that_hold_nothing_to_export_say_so(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="holds no run"):
        choose_step(RunDirectory(tmp_path))
    young = make_run(tmp_path / "young", {0: make_model(BYTES)}, ByteTokenizer())
    with pytest.raises(RunDirectoryError, match="has a validation loss"):
        choose_step(young, best=True)
    young.remove_checkpoint(0)
    with pytest.raises(RunDirectoryError, match="has no checkpoint yet"):
        choose_step(young)


def test_weights_come_as_they_were_written(directory: RunDirectory) -> None:
    weights = read_weights(directory.checkpoint_path(10) / "model.safetensors", BYTES)
    for name, parameter in make_model(BYTES, 10).named_parameters():
        assert np.array_equal(weights.pop(name), parameter.detach().numpy()), name
    assert weights == {}


@pytest.mark.parametrize("damage", ["missing", "strange", "shape", "type", "nan", "torn", "gone"])
def test_a_file_that_is_not_this_model_is_refused(directory: RunDirectory, damage: str) -> None:
    path = directory.checkpoint_path(10) / "model.safetensors"
    weights = read_weights(path, BYTES)
    name = "model.norm.weight"
    if damage == "missing":
        del weights[name]
    elif damage == "strange":
        weights["other"] = weights[name]
    elif damage == "shape":
        weights[name] = weights[name][:-1].copy()
    elif damage == "nan":
        weights[name][3] = np.nan
    elif damage == "type":
        weights[name] = weights[name].astype(np.float64)  # type: ignore[assignment]
    safetensors.numpy.save_file(weights, path)
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "gone":
        path.unlink()
    with pytest.raises(RunDirectoryError, match=r"model\.safetensors"):
        read_weights(path, BYTES)
