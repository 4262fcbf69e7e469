"""Writes an export: a folder that appears whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors.numpy

from engine.data.tokenizers import Tokenizer, load_tokenizer
from engine.families import decoder as family
from engine.interop.export_hf import hf_config, hf_generation_config, hf_weights
from engine.interop.export_tt_train import write_tt_train
from engine.interop.hf_tokenizer import hf_tokenizer, hf_tokenizer_config
from engine.interop.run_weights import WEIGHTS_FILE, Weights, choose_step, read_weights
from engine.interop.torch_script import torch_script
from engine.run_directory import RunDirectory, RunDirectoryError, RunRecord
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec, check

Target = Literal["hf", "torch"]


def export_run(
    directory: RunDirectory, target: Target, out: Path, step: int | None = None,
    *, best: bool = False,
) -> tuple[int, tuple[str, ...]]:  # fmt: skip
    """Export one checkpoint (the newest, ``step`` or the best) into the new folder ``out``.

    Returns its step and the names of the files written. Raises SpecError for a design that the
    target cannot represent, RunDirectoryError for a run or an ``out`` that cannot be used,
    TokenizerError for a damaged tokenizer. Where anything fails, nothing is left.
    """
    record = directory.record()
    if target == "hf":
        hf_config(record.model)  # refused before anything is read or written
    _refuse_occupied(out)
    chosen = choose_step(directory, step, best=best)
    weights = read_weights(directory.checkpoint_path(chosen) / WEIGHTS_FILE, record.model)
    tokenizer = load_tokenizer(directory.tokenizer_file)
    write = _write_hf if target == "hf" else _write_torch
    return chosen, _write_whole(out, lambda folder: write(folder, record, weights, tokenizer))


def export_design(spec: ModelSpec, run: RunSpec, title: str, out: Path) -> tuple[str, ...]:
    """Write a design and its recipe for tt-train into the new folder ``out``.

    Returns the names of the files. Raises SpecError for a design or recipe that cannot be built
    or that tt-train cannot represent, RunDirectoryError for an ``out`` that cannot be used.
    """
    check(spec)
    check_run(run, spec)
    _refuse_occupied(out)
    return _write_whole(out, lambda folder: write_tt_train(folder, spec, run, title, out))


def _refuse_occupied(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunDirectoryError(f"{out} is there already: name a new folder to export to")


def _write_whole(out: Path, write: Callable[[Path], object]) -> tuple[str, ...]:
    """Have ``write`` fill a folder that then becomes ``out``; return what is in it."""
    aside: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".writing"))
        aside.chmod(0o755)
        write(aside)
        names = tuple(sorted(path.name for path in aside.iterdir()))
        if out.is_dir():
            out.rmdir()
        aside.replace(out)
    except OSError as error:
        raise RunDirectoryError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
    return names


def _write_hf(folder: Path, record: RunRecord, weights: Weights, tokenizer: Tokenizer) -> None:
    spec = record.model
    _write_json(folder / "config.json", hf_config(spec))
    _write_json(folder / "generation_config.json", hf_generation_config(record.run, spec))
    _write_weights(folder, hf_weights(spec, weights))
    (folder / "tokenizer.json").write_text(hf_tokenizer(tokenizer), encoding="utf-8")
    _write_json(folder / "tokenizer_config.json", hf_tokenizer_config(spec.max_seq_len))


def _write_torch(folder: Path, record: RunRecord, weights: Weights, tokenizer: Tokenizer) -> None:
    count = sum(weight.count for weight in family.weights(record.model))
    script = torch_script(record.model, record.run, tokenizer.kind, record.title, count)
    (folder / "generate.py").write_text(script, encoding="utf-8")
    _write_weights(folder, weights)
    (folder / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")


def _write_weights(folder: Path, weights: Weights) -> None:
    safetensors.numpy.save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
