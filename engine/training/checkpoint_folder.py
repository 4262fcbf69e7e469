"""The folder of a checkpoint: on disk whole or not at all. Needs neither torch nor numpy.

checkpoints/step-000500/
    model.safetensors       fp32 weights by their published names
    optimizer.safetensors   optimizer state, "exp_avg/<weight>" and so on (fp32 or 8-bit codes)
    state.json              engine.training.progress, schedule, versions

It is written under another name, brought to the disk and then renamed. Who writes the tensors
(engine.training.checkpoint with torch, engine.backends.card with numpy) is told where.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.run_directory import (
    RunDirectory,
    RunDirectoryError,
    read_json,
    sync_folder,
    write_json,
)
from engine.run_spec import RunSpec
from engine.training.progress import CheckpointError, Progress, progress_from_dict

FORMAT = 1
MODEL_FILE, OPTIMIZER_FILE, STATE_FILE = "model.safetensors", "optimizer.safetensors", "state.json"
_WRITING, _REMOVING = ".writing-", ".removing-"


def write_checkpoint_folder(
    directory: RunDirectory,
    progress: Progress,
    run: RunSpec,
    versions: Mapping[str, str],
    write_tensors: Callable[[Path], None],
) -> Path:
    """Write the checkpoint of ``progress.step``; raise CheckpointError and leave no trace of it.

    ``write_tensors`` puts both files of tensors into the folder that it is given, and raises
    OSError where it cannot. A checkpoint of the same step from an abandoned stretch of the run is
    replaced. Raises RunDirectoryError where the run's folder was deleted: no part of it is made
    again.
    """
    _still_there(directory)
    target = directory.checkpoint_path(progress.step)
    aside = target.with_name(_WRITING + target.name)
    try:
        shutil.rmtree(aside, ignore_errors=True)
        directory.checkpoints.mkdir(exist_ok=True)
        aside.mkdir()
        write_tensors(aside)
        write_json(aside / STATE_FILE, _state(progress, run, versions))
        sync_folder(aside)
        if target.exists():
            directory.remove_checkpoint(progress.step)
        aside.replace(target)
        sync_folder(directory.checkpoints)
    except OSError as error:
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


def sync_file(path: Path) -> None:
    """Bring a file that was written to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_progress(folder: Path) -> Progress:
    """Read and check state.json; raise CheckpointError."""
    try:
        values = read_json(folder / STATE_FILE)
        if values.get("format") != FORMAT:
            raise CheckpointError("it has a format that this program cannot read")
        return progress_from_dict(values)
    except (CheckpointError, RunDirectoryError) as error:
        raise CheckpointError(f"{folder} cannot be used: {error}") from error


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
