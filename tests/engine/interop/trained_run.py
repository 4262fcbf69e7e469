"""A run directory as training leaves it, with random weights in place of trained ones."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch

from engine.data.tokenizers import Tokenizer
from engine.models.decoder import Decoder, build
from engine.run_directory import RunDirectory, RunRecord, write_json
from engine.run_spec import RunSpec
from engine.spec import ModelSpec


def make_model(spec: ModelSpec, seed: int = 0) -> Decoder:
    """A model in which every single weight matters: biases and norms too."""
    model = build(spec, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def make_run(
    path: Path, models: dict[int, Decoder], tokenizer: Tokenizer, title: str = "a run",
    losses: dict[int, float] | None = None,
) -> RunDirectory:  # fmt: skip
    """A run with a checkpoint of each of ``models``, by step."""
    directory = RunDirectory(path)
    spec = next(iter(models.values())).spec
    run = RunSpec(temperature=0.7, top_k=5)
    directory.create(RunRecord(spec, run, title, 0.0, "a text", "0" * 64, "cpu", {}))
    tokenizer.save(directory.tokenizer_file)
    for step, model in models.items():
        folder = directory.checkpoint_path(step)
        folder.mkdir()
        weights = {name: p.detach().clone() for name, p in model.named_parameters()}
        safetensors.torch.save_file(weights, folder / "model.safetensors")
        loss = (losses or {}).get(step)
        write_json(folder / "state.json", {"step": step, "validation_loss": loss})
    return directory
