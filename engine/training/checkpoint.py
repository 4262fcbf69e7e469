"""Checkpoints of torch's tensors, read as if a stranger had written them.

engine.training.checkpoint_folder says what lies where and has it on disk whole or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from engine.run_directory import RunDirectory
from engine.run_spec import RunSpec
from engine.training.checkpoint_folder import (
    MODEL_FILE,
    OPTIMIZER_FILE,
    best_step,
    clear_leftovers,
    newest_step,
    prune,
    read_progress,
    sync_file,
    write_checkpoint_folder,
)
from engine.training.progress import CheckpointError, Progress
from engine.training.update import Learner

__all__ = [
    "best_step", "clear_leftovers", "load_checkpoint", "load_weights", "newest_step",
    "optimizer_tensors", "prune", "read_progress", "read_tensors", "write_checkpoint",
]  # fmt: skip


def write_checkpoint(
    directory: RunDirectory,
    learner: Learner,
    progress: Progress,
    run: RunSpec,
    versions: Mapping[str, str],
) -> Path:
    """Write the checkpoint of ``progress.step``; raise as ``write_checkpoint_folder`` does."""

    def write_tensors(folder: Path) -> None:
        try:
            _write_tensors(folder / MODEL_FILE, learner.masters.weights)
            _write_tensors(folder / OPTIMIZER_FILE, optimizer_tensors(learner))
        except safetensors.SafetensorError as error:
            raise OSError(str(error)) from error

    return write_checkpoint_folder(directory, progress, run, versions, write_tensors)


def _write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    ready = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    safetensors.torch.save_file(ready, path, metadata={"format": "pt"})
    sync_file(path)


def optimizer_tensors(learner: Learner) -> dict[str, torch.Tensor]:
    """The optimizer's state by "<kind>/<weight>"; plain SGD has none."""
    return {
        f"{kind}/{name}": tensor
        for name, weight in learner.masters.weights.items()
        for kind, tensor in learner.optimizer.state[weight].items()
    }


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
