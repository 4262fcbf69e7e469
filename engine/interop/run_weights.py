"""The weights of a run's checkpoint, without torch: numpy arrays by their published names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors

from engine.families import decoder as family
from engine.families.weight import expand
from engine.run_directory import RunDirectory, RunDirectoryError, read_json
from engine.spec import ModelSpec

Weights = dict[str, npt.NDArray[np.float32]]
WEIGHTS_FILE = "model.safetensors"
_STATE_FILE = "state.json"


def choose_step(directory: RunDirectory, step: int | None = None, *, best: bool = False) -> int:
    """The checkpoint to use: ``step``, the one of lowest validation loss, or the newest.

    Raises RunDirectoryError, naming the steps that there are.
    """
    directory.record()  # a folder that holds no run is said to be one
    steps = directory.checkpoint_steps()
    if not steps:
        raise RunDirectoryError(f"{directory.path} has no checkpoint yet: let it train longer")
    if step is not None:
        if step not in steps:
            there = ", ".join(f"{known:,}" for known in steps[-12:])
            raise RunDirectoryError(
                f"{directory.path} has no checkpoint of step {step:,}: there are {there}"
            )
        return step
    if not best:
        return steps[-1]
    losses = [(loss, known) for known in steps if (loss := _loss(directory, known)) is not None]
    if not losses:
        raise RunDirectoryError(f"no checkpoint of {directory.path} has a validation loss")
    return min(losses)[1]


def _loss(directory: RunDirectory, step: int) -> float | None:
    values = read_json(directory.checkpoint_path(step) / _STATE_FILE)
    loss = values.get("validation_loss")
    return float(loss) if isinstance(loss, (int, float)) and not isinstance(loss, bool) else None


def read_weights(path: Path, spec: ModelSpec) -> Weights:
    """All weights of ``spec`` from an fp32 safetensors file.

    Names, shapes and types are compared with the file's header before any data is read. Raises
    RunDirectoryError for a file that is not exactly this model, or has values that are no numbers.
    """
    shapes = dict(expand(family.weights(spec)))
    weights: Weights = {}
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            if set(file.keys()) != set(shapes):
                odd = sorted(set(file.keys()) ^ set(shapes))[0]
                raise RunDirectoryError(f"{path} is not this model: {odd[:80]} is in only one")
            for name, shape in shapes.items():
                part = file.get_slice(name)
                if tuple(part.get_shape()) != shape or part.get_dtype() != "F32":
                    raise RunDirectoryError(f"{path}: {name} is not fp32 of shape {shape}")
            for name in shapes:
                weights[name] = file.get_tensor(name)
                if not np.isfinite(weights[name]).all():
                    raise RunDirectoryError(f"{path}: {name} has values that are not numbers")
    except (OSError, safetensors.SafetensorError) as error:
        raise RunDirectoryError(f"cannot read {path}: {error}") from error
    return weights
