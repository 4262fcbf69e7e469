"""Checkpoints of numpy arrays, in the very files that torch's are kept in.

So a run that began on a card can be gone on with by torch, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from engine.backends.card.model import Arrays, CardModel
from engine.families import decoder as family
from engine.families.weight import expand
from engine.run_directory import RunDirectory
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.checkpoint_folder import (
    MODEL_FILE,
    OPTIMIZER_FILE,
    read_progress,
    sync_file,
    write_checkpoint_folder,
)
from engine.training.progress import CheckpointError, Progress


def write_card_checkpoint(
    directory: RunDirectory,
    model: CardModel,
    progress: Progress,
    run: RunSpec,
    versions: Mapping[str, str],
) -> Path:
    """Write the checkpoint of ``progress.step``; raise as ``write_checkpoint_folder`` does."""

    def write_tensors(folder: Path) -> None:
        try:
            _write(folder / MODEL_FILE, model.weights())
            _write(folder / OPTIMIZER_FILE, model.optimizer_state())
        except safetensors.SafetensorError as error:
            raise OSError(str(error)) from error

    return write_checkpoint_folder(directory, progress, run, versions, write_tensors)


def _write(path: Path, arrays: Arrays) -> None:
    ready = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    safetensors.numpy.save_file(ready, path, metadata={"format": "pt"})
    sync_file(path)


def load_card_checkpoint(folder: Path, model: CardModel, spec: ModelSpec) -> Progress:
    """Put a checkpoint into ``model``; return its progress.

    Everything is read and checked before the model is touched. Raises CheckpointError.
    """
    progress = read_progress(folder)
    weights = _read(folder / MODEL_FILE, dict(expand(family.weights(spec))))
    state = _read(folder / OPTIMIZER_FILE, model.optimizer_shapes())
    model.load(weights, state, progress.step)
    return progress


def _read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """An fp32 file that must hold exactly ``shapes``; its header is compared before its data."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            odd = sorted(set(file.keys()) ^ set(shapes))
            if odd:
                raise CheckpointError(f"{path} is not this model's: {odd[0][:80]} is in only one")
            for name, shape in shapes.items():
                part = file.get_slice(name)
                if tuple(part.get_shape()) != shape or part.get_dtype() != "F32":
                    raise CheckpointError(f"{path}: {name} is not fp32 of shape {shape}")
            arrays: Arrays = {name: file.get_tensor(name) for name in shapes}
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name} has values that are not finite numbers")
    return arrays
