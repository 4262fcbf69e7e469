"""Checkpoints: whole or not at all, and no file of a stranger does harm."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from engine.cost.evaluation import evaluate
from engine.models.decoder import build
from engine.run_directory import RunDirectory, RunDirectoryError, RunRecord
from engine.run_spec import RunSpec, run_parameters
from engine.spec import ModelSpec
from engine.training import checkpoint_folder
from engine.training.checkpoint import (
    best_step,
    clear_leftovers,
    load_checkpoint,
    load_weights,
    prune,
    write_checkpoint,
)
from engine.training.progress import CheckpointError, Progress
from engine.training.update import Learner
from tests.engine.test_run_directory import disk_of
from tests.engine.training.tiny import SPEC

RUN = RunSpec()
PROGRESS = Progress(
    step=3, tokens=96, segment=2, best_validation_loss=2.5, best_step=2, validation_loss=2.75,
    validated_step=3, compile_from=7, memory_bytes=12, random_states={"cpu": "AA=="},
)  # fmt: skip


def new_directory(path: Path) -> RunDirectory:
    directory = RunDirectory(path)
    directory.create(RunRecord(SPEC, RUN, "try", 0.0, "text", "0" * 64, "cpu", {}))
    return directory


def new_learner(
    run: RunSpec = RUN, seed: int = 1, steps: int = 2, spec: ModelSpec = SPEC
) -> Learner:
    dtype = torch.bfloat16 if run.precision == "bf16" else torch.float32
    learner = Learner(build(spec, seed=seed, dtype=dtype), run, nullcontext)
    learn(learner, steps)
    return learner


def learn(learner: Learner, steps: int) -> None:
    ids = torch.arange(34).view(2, 17) % SPEC.vocab_size
    for _ in range(steps):
        learner.gradients([(ids[:, :-1], ids[:, 1:])], 1)
        learner.clip()
        learner.apply(1e-2)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    directory = new_directory(tmp_path_factory.mktemp("checkpoints"))
    write_checkpoint(directory, new_learner(), PROGRESS, RUN, {"torch": "1"})
    return directory


OPTIMIZERS = tuple(run_parameters()["optimizer"].choices or ())
# One with weights that are large enough to be quantized, and one of them not in full blocks.
LARGER = SPEC.replace(hidden_dim=66, num_heads=3, num_kv_heads=3, vocab_size=127)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_comes_back_to_the_last_bit(tmp_path: Path, optimizer: str) -> None:
    run = RUN.replace(optimizer=optimizer)
    learner = new_learner(run, spec=LARGER)
    other = new_learner(run, seed=2, steps=0, spec=LARGER)
    directory = new_directory(tmp_path)
    path = write_checkpoint(directory, learner, PROGRESS, run, {})
    assert load_checkpoint(path, other) == PROGRESS
    for name, weight in learner.masters.weights.items():
        twin = other.masters.weights[name]
        assert torch.equal(weight, twin)
        for kind, value in learner.optimizer.state[weight].items():
            assert torch.equal(value, other.optimizer.state[twin][kind])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_learning_goes_on_as_if_it_had_not_been_interrupted(
    tmp_path: Path, optimizer: str, precision: str
) -> None:
    run = RUN.replace(optimizer=optimizer, precision=precision)
    learner = new_learner(run, spec=LARGER, steps=3)
    path = write_checkpoint(new_directory(tmp_path), learner, PROGRESS, run, {})
    other = new_learner(run, seed=2, steps=0, spec=LARGER)
    load_checkpoint(path, other)
    for one in (learner, other):
        torch.manual_seed(4)  # of dropout
        learn(one, 3)
    for name, weight in learner.masters.weights.items():
        assert torch.equal(weight, other.masters.weights[name])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_is_as_large_as_the_accounting_says(tmp_path: Path, optimizer: str, precision: str) -> None:
    """To the byte, without the files' headers, which are text."""
    run = RUN.replace(optimizer=optimizer, precision=precision)
    path = write_checkpoint(
        new_directory(tmp_path), new_learner(run, spec=LARGER, steps=0), PROGRESS, run, {}
    )
    size = 0
    for name in ("model.safetensors", "optimizer.safetensors"):
        content = (path / name).read_bytes()
        size += len(content) - 8 - int.from_bytes(content[:8], "little")
    assert size == evaluate(LARGER, run, ()).checkpoint_bytes


def test_codes_that_are_no_bytes_are_refused(tmp_path: Path) -> None:
    run = RUN.replace(optimizer="adamw-8bit")
    path = write_checkpoint(
        new_directory(tmp_path), new_learner(run, spec=LARGER), PROGRESS, run, {}
    )
    tensors = load_file(path / "optimizer.safetensors")
    name = "exp_avg/model.embed_tokens.weight"
    assert tensors[name].dtype == torch.uint8
    tensors[name] = tensors[name].float()
    save_file(tensors, path / "optimizer.safetensors")
    with pytest.raises(CheckpointError, match="not uint8"):
        load_checkpoint(path, new_learner(run, spec=LARGER))


def test_state_names_step_schedule_and_versions(written: RunDirectory) -> None:
    values = json.loads((written.checkpoint_path(3) / "state.json").read_text())
    assert values["step"] == 3
    assert values["schedule"]["warmup_steps"] == RUN.warmup_steps
    assert values["versions"] == {"torch": "1"}
    assert values["random_states"] == {"cpu": "AA=="}


def test_a_full_disk_leaves_the_old_checkpoints_and_no_trace_of_the_new(tmp_path: Path) -> None:
    directory = new_directory(tmp_path)
    learner = new_learner()
    write_checkpoint(directory, learner, PROGRESS, RUN, {})
    with disk_of(20_000), pytest.raises(CheckpointError, match="step-000004"):
        write_checkpoint(directory, learner, PROGRESS.replace(step=4), RUN, {})
    assert directory.checkpoint_steps() == [3]
    assert [entry.name for entry in directory.checkpoints.iterdir()] == ["step-000003"]
    assert load_checkpoint(directory.checkpoint_path(3), new_learner()) == PROGRESS


def test_the_same_step_is_replaced(tmp_path: Path) -> None:
    directory = new_directory(tmp_path)
    for loss in (2.75, 2.5):
        write_checkpoint(directory, new_learner(), PROGRESS.replace(validation_loss=loss), RUN, {})
    assert [entry.name for entry in directory.checkpoints.iterdir()] == ["step-000003"]
    assert load_checkpoint(directory.checkpoint_path(3), new_learner()).validation_loss == 2.5


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "checkpoints"])
def test_no_part_of_a_deleted_run_is_made_again(tmp_path: Path, left: str) -> None:
    directory = new_directory(tmp_path / "run")
    shutil.rmtree(directory.path)
    if left != "nothing":
        (directory.path if left == "an empty folder" else directory.checkpoints).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunDirectoryError, match="was deleted or moved while the run trained"):
        write_checkpoint(directory, new_learner(), PROGRESS, RUN, {})
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_deleted_while_its_checkpoint_is_written_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = new_directory(tmp_path)
    bring_to_disk = checkpoint_folder.sync_folder

    def deleted_meanwhile(folder: Path) -> None:
        bring_to_disk(folder)
        directory.run_file.unlink(missing_ok=True)

    monkeypatch.setattr(checkpoint_folder, "sync_folder", deleted_meanwhile)
    with pytest.raises(RunDirectoryError, match="was deleted or moved"):
        write_checkpoint(directory, new_learner(), PROGRESS, RUN, {})
    assert list(directory.checkpoints.iterdir()) == []


def test_what_a_crash_left_is_cleared_away(tmp_path: Path) -> None:
    directory = new_directory(tmp_path)
    for name in (".writing-step-000005", ".removing-step-000001", "step-000002"):
        (directory.checkpoints / name).mkdir()
    clear_leftovers(directory)
    assert [entry.name for entry in directory.checkpoints.iterdir()] == ["step-000002"]


def test_prune_keeps_newest_and_best_and_what_it_cannot_read(tmp_path: Path) -> None:
    directory, learner = new_directory(tmp_path), new_learner()
    for step, loss in ((1, 3.0), (2, 2.0), (3, None), (4, 2.5), (5, None)):
        progress = PROGRESS.replace(step=step, validation_loss=loss)
        write_checkpoint(directory, learner, progress, RUN, {})
    (directory.checkpoint_path(3) / "state.json").write_text("junk")
    assert best_step(directory) == 2
    assert prune(directory, 5, 1) == [1, 4]
    assert directory.checkpoint_steps() == [2, 3, 5]
    assert prune(directory, 5, 0) == [2]


# Hostile files


def copy_of(written: RunDirectory, folder: Path) -> Path:
    target = folder / "copy"
    shutil.copytree(written.checkpoint_path(3), target)
    return target


def refused(folder: Path) -> str:
    learner = new_learner(seed=4)
    before = {name: w.detach().clone() for name, w in learner.masters.weights.items()}
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder, learner)
    for name, weight in learner.masters.weights.items():
        assert torch.equal(weight, before[name]), "changed before it was checked"
    return str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("content", [None, b"", b"junk" * 100, b"\xff" * 64, b"[" * 50_000])
def test_missing_and_junk_files_are_refused(
    written: RunDirectory, tmp_path: Path, name: str, content: bytes | None
) -> None:
    folder = copy_of(written, tmp_path)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    refused(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "are missing"),
        ("strange", "does not belong"),
        ("shape", "has shape"),
        ("dtype", "not fp32"),
        ("nan", "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    written: RunDirectory, tmp_path: Path, change: str, message: str
) -> None:
    folder = copy_of(written, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    name = "model.norm.weight"
    if change == "missing":
        del tensors[name]
    elif change == "strange":
        tensors["evil"] = torch.ones(1)
    elif change == "shape":
        tensors[name] = torch.ones(33)
    elif change == "dtype":
        tensors[name] = tensors[name].half()
    else:
        tensors[name] = tensors[name] * torch.nan
    save_file(tensors, folder / "model.safetensors")
    assert message in refused(folder)
    with pytest.raises(CheckpointError):
        load_weights(folder, build(SPEC))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("step", -1), ("step", True), ("step", 1.5), ("step", None), ("tokens", 10**30),
        ("segment", "2"), ("best_validation_loss", "low"), ("validation_loss", 10**400),
        ("validation_loss", float("nan")), ("random_states", []), ("random_states", {"cpu": 1}),
        ("format", 2), ("best_step", -4),
    ],
)  # fmt: skip
def test_a_state_that_means_nothing_is_refused(
    written: RunDirectory, tmp_path: Path, field: str, value: object
) -> None:
    folder = copy_of(written, tmp_path)
    values = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**values, field: value}))
    refused(folder)


@given(data=st.data())
def test_damaged_bytes_are_loaded_or_refused_but_never_worse(
    written: RunDirectory, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = copy_of(written, tmp_path_factory.mktemp("fuzz"))
    file = folder / data.draw(st.sampled_from(["model.safetensors", "state.json"]))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content), 2_000) - 1))
        content[at] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    learner = new_learner(steps=0)
    try:
        load_checkpoint(folder, learner)
    except CheckpointError:
        return
    assert all(bool(torch.isfinite(w).all()) for w in learner.masters.weights.values())
