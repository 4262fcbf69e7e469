"""Checkpoints: on disk whole or not at all, and read as if a stranger had written them.

checkpoints/step-000500/
    model.safetensors       fp32 weights by their published names
    optimizer.safetensors   optimizer state, "exp_avg/<weight>" and so on (fp32 or 8-bit codes)
    state.json              engine.training.progress, schedule, versions

A checkpoint is written into a folder of another name, brought to the disk and then renamed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from engine.run_directory import (
    RunDirectory,
    RunDirectoryError,
    read_json,
    sync_folder,
    write_json,
)
from engine.run_spec import RunSpec
from engine.training.progress import CheckpointError, Progress, progress_from_dict
from engine.training.update import Learner

FORMAT = 1
MODEL_FILE, OPTIMIZER_FILE, STATE_FILE = "model.safetensors", "optimizer.safetensors", "state.json"
_WRITING, _REMOVING = ".writing-", ".removing-"


def write_checkpoint(
    directory: RunDirectory,
    learner: Learner,
    progress: Progress,
    run: RunSpec,
    versions: Mapping[str, str],
) -> Path:
    """Write the checkpoint of ``progress.step``; raise CheckpointError and leave no trace of it.

    One of the same step from an abandoned stretch of the run is replaced. Raises
    RunDirectoryError where the run's folder was deleted: no part of it is made again.
    """
    _still_there(directory)
    target = directory.checkpoint_path(progress.step)
    aside = target.with_name(_WRITING + target.name)
    try:
        shutil.rmtree(aside, ignore_errors=True)
        directory.checkpoints.mkdir(exist_ok=True)
        aside.mkdir()
        _write_tensors(aside / MODEL_FILE, learner.masters.weights)
        _write_tensors(aside / OPTIMIZER_FILE, optimizer_tensors(learner))
        write_json(aside / STATE_FILE, _state(progress, run, versions))
        sync_folder(aside)
        if target.exists():
            directory.remove_checkpoint(progress.step)
        aside.replace(target)
        sync_folder(directory.checkpoints)
    except (OSError, safetensors.SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        _still_there(directory)
        raise CheckpointError(f"cannot write {target}: {error}") from error
    if not directory.run_file.exists():  # deleted meanwhile: this would be all that is left
        shutil.rmtree(target, ignore_errors=True)
        _still_there(directory)
    return target


def _still_there(directory: RunDirectory) -> None:
    if not directory.run_file.exists():
        raise RunDirectoryError(
            f"{directory.path} was deleted or moved while the run trained (its run.json is gone), "
            "so no checkpoint can be kept"
        )


def _state(progress: Progress, run: RunSpec, versions: Mapping[str, str]) -> dict[str, Any]:
    schedule = {
        "schedule": run.schedule,
        "steps": run.steps,
        "warmup_steps": run.warmup_steps,
        "learning_rate": run.learning_rate,
        "min_lr_ratio": run.min_lr_ratio,
    }
    values = {"format": FORMAT, **progress.to_dict()}
    return {**values, "schedule": schedule, "versions": dict(versions)}


def _write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    ready = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    safetensors.torch.save_file(ready, path, metadata={"format": "pt"})
    with path.open("rb") as file:
        os.fsync(file.fileno())


def optimizer_tensors(learner: Learner) -> dict[str, torch.Tensor]:
    """The optimizer's state by "<kind>/<weight>"; plain SGD has none."""
    return {
        f"{kind}/{name}": tensor
        for name, weight in learner.masters.weights.items()
        for kind, tensor in learner.optimizer.state[weight].items()
    }


def read_progress(folder: Path) -> Progress:
    """Read and check state.json; raise CheckpointError."""
    try:
        values = read_json(folder / STATE_FILE)
        if values.get("format") != FORMAT:
            raise CheckpointError("it has a format that this program cannot read")
        return progress_from_dict(values)
    except (CheckpointError, RunDirectoryError) as error:
        raise CheckpointError(f"{folder} cannot be used: {error}") from error


def load_checkpoint(folder: Path, learner: Learner) -> Progress:
    """Put weights and optimizer state of a checkpoint into ``learner``; return its progress.

    Everything is read and checked before anything is changed. Raises CheckpointError.
    """
    progress = read_progress(folder)
    shapes = {name: weight.shape for name, weight in learner.masters.weights.items()}
    weights = read_tensors(folder / MODEL_FILE, shapes)
    state = optimizer_tensors(learner)
    saved = read_tensors(
        folder / OPTIMIZER_FILE,
        {key: tensor.shape for key, tensor in state.items()},
        bytes_={key for key, tensor in state.items() if tensor.dtype == torch.uint8},
    )
    with torch.no_grad():
        for name, weight in learner.masters.weights.items():
            weight.copy_(weights[name])
        for key, tensor in state.items():
            tensor.copy_(saved[key])
    learner.masters.give_back()
    learner.optimizer.steps = progress.step
    return progress


def load_weights(folder: Path, model: nn.Module) -> None:
    """Put a checkpoint's weights into ``model``, in whatever dtype it has; CheckpointError."""
    parameters = dict(model.named_parameters())
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    weights = read_tensors(folder / MODEL_FILE, shapes)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def read_tensors(
    path: Path, shapes: Mapping[str, torch.Size], *, bytes_: Collection[str] = ()
) -> dict[str, torch.Tensor]:
    """Read a safetensors file that must hold exactly ``shapes``; raise CheckpointError.

    All are fp32 but those named in ``bytes_``, which are uint8. Names, shapes and types are
    compared with the file's header before any of its data is read.
    """
    try:
        with safetensors.safe_open(path, "pt", device="cpu") as file:
            _check_header(path, file, shapes, bytes_)
            tensors = {name: file.get_tensor(name) for name in shapes}
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path}: {name} has values that are not finite numbers")
    return tensors


def _check_header(
    path: Path, file: Any, shapes: Mapping[str, torch.Size], bytes_: Collection[str]
) -> None:
    names = set(file.keys())
    missing, strange = sorted(set(shapes) - names), sorted(names - set(shapes))
    if missing:
        raise CheckpointError(f"{path}: {missing[0]} and {len(missing) - 1} more are missing")
    if strange:
        raise CheckpointError(f"{path}: {strange[0][:80]} does not belong to this model")
    for name, shape in shapes.items():
        part = file.get_slice(name)
        if tuple(part.get_shape()) != tuple(shape):
            raise CheckpointError(
                f"{path}: {name} has shape {tuple(part.get_shape())}, this model {tuple(shape)}"
            )
        code, word = ("U8", "uint8") if name in bytes_ else ("F32", "fp32")
        if part.get_dtype() != code:
            raise CheckpointError(f"{path}: {name} is {part.get_dtype()}, not {word}")


def clear_leftovers(directory: RunDirectory) -> None:
    """Delete what an interrupted write or removal left. Only for the worker that has the lock."""
    if not directory.checkpoints.is_dir():
        return
    for entry in directory.checkpoints.iterdir():
        if entry.name.startswith((_WRITING, _REMOVING)):
            shutil.rmtree(entry, ignore_errors=True)


def newest_step(directory: RunDirectory, segment: int, started_at: int) -> int | None:
    """The checkpoint that a resume goes on from; None where there is none.

    It is the last one of the newest ``segment``, or else the one that this segment itself
    started from: checkpoints of a stretch that was abandoned by a rewind don't count.
    """
    steps = directory.checkpoint_steps()
    readable = {}
    for step in steps:
        try:
            readable[step] = read_progress(directory.checkpoint_path(step)).segment
        except CheckpointError:
            continue
    own = [step for step, made_in in readable.items() if made_in == segment]
    if own:
        return max(own)
    if started_at in readable:
        return started_at
    return max(readable, default=None)


def prune(directory: RunDirectory, newest: int, keep_best: int) -> list[int]:
    """Remove all checkpoints but ``newest`` and the ``keep_best`` of lowest validation loss.

    A checkpoint that cannot be read is left alone. Returns the removed steps; raises OSError.
    """
    losses: dict[int, float | None] = {}
    for step in directory.checkpoint_steps():
        try:
            losses[step] = read_progress(directory.checkpoint_path(step)).validation_loss
        except CheckpointError:
            continue
    measured = sorted((loss, step) for step, loss in losses.items() if loss is not None)
    kept = {newest} | {step for _, step in measured[:keep_best]}
    removed = [step for step in losses if step not in kept]
    for step in removed:
        directory.remove_checkpoint(step)
    return removed


def best_step(directory: RunDirectory) -> int | None:
    """The checkpoint with the lowest validation loss; None where none was measured."""
    measured = []
    for step in directory.checkpoint_steps():
        try:
            loss = read_progress(directory.checkpoint_path(step)).validation_loss
        except CheckpointError:
            continue
        if loss is not None:
            measured.append((loss, step))
    return min(measured)[1] if measured else None
