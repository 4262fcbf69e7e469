"""A trained model from a run directory, ready to write or to be looked into."""

from __future__ import annotations

from dataclasses import dataclass

from engine.backends.torch_backend import open_backend
from engine.data.tokenizers import Tokenizer, load_tokenizer
from engine.models.decoder import Decoder, build
from engine.run_directory import RunDirectory, RunDirectoryError, RunRecord
from engine.training.checkpoint import best_step, load_weights


@dataclass(frozen=True)
class LoadedModel:
    """A model after ``step`` updates, in eval mode, with the tokenizer of its run."""

    model: Decoder
    tokenizer: Tokenizer
    record: RunRecord
    step: int


def open_model(
    directory: RunDirectory, *, step: int | None = None, best: bool = False, device: str = "cpu"
) -> LoadedModel:
    """Load a checkpoint in fp32: of ``step``, the best by validation loss, or the newest.

    Raises RunDirectoryError where there is none, CheckpointError where it is damaged,
    TokenizerError where the tokenizer is.
    """
    record = directory.record()
    chosen = _choose(directory, step, best)
    tokenizer = load_tokenizer(directory.tokenizer_file)
    backend = open_backend(device, "fp32", threads=record.run.threads)
    model = build(record.model, device=backend.device)
    load_weights(directory.checkpoint_path(chosen), model)
    model.eval()
    return LoadedModel(model, tokenizer, record, chosen)


def _choose(directory: RunDirectory, step: int | None, best: bool) -> int:
    steps = directory.checkpoint_steps()
    if not steps:
        raise RunDirectoryError(f"{directory.path} has no checkpoint yet: train it first")
    if step is not None:
        if step in steps:
            return step
        there = ", ".join(f"{number:,}" for number in steps)
        raise RunDirectoryError(f"there is no checkpoint of step {step:,} (there are: {there})")
    if best:
        found = best_step(directory)
        if found is None:
            raise RunDirectoryError("no checkpoint was measured on validation text yet")
        return found
    return steps[-1]
