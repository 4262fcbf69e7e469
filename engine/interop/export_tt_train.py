"""A design and its recipe as the two YAML files that tt-train's training program reads.

tt-train keeps the architecture (``transformer_config``) in one file and everything else
(``training_config``, ``device_config``, ``eval_config``) in another that names the first. Field
names are those of tt-train/configs/README.md and of the program that reads them
(tt-train/sources/examples/nano_gpt/train_nanogpt.py).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from engine.data.tokenizers.training import resolve_kind
from engine.devices.card import card_name
from engine.devices.card_rules import NOT_VERIFIED
from engine.interop.tt_train_rules import (
    check_recipe,
    differences,
    mesh_shape,
    padded_vocabulary,
    tt_train_kind,
)
from engine.parameter import SpecError
from engine.rotary import LLAMA3_HIGH_FREQ_FACTOR, LLAMA3_LOW_FREQ_FACTOR
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

MODEL_FILE, TRAINING_FILE = "model.yaml", "training.yaml"
_EPSILON = 1e-8
_RUNNERS = {False: "default", True: "memory_efficient"}
# Seeds of tt-train are 32-bit.
_SEEDS = 1 << 32


def transformer_config(spec: ModelSpec, run: RunSpec) -> dict[str, Any]:
    """The contents of ``transformer_config``. Raises SpecError for a design it cannot hold."""
    kind = tt_train_kind(spec)
    common: dict[str, Any] = {
        "model_type": kind,
        "runner_type": _RUNNERS[run.gradient_checkpointing],
        "num_heads": spec.num_heads,
        "embedding_dim": spec.hidden_dim,
        "dropout_prob": spec.dropout,
        "num_blocks": spec.num_layers,
        "vocab_size": padded_vocabulary(spec),
        "max_sequence_length": spec.max_seq_len,
        "weight_tying": "enabled" if spec.tied_embeddings else "disabled",
    }
    if kind == "gpt2":
        return common | {
            "positional_embedding_type": "trainable",
            "experimental": {"use_composite_layernorm": False},
        }
    own: dict[str, Any] = {
        "num_groups": spec.num_kv_heads,
        "intermediate_dim": spec.mlp_dim,
        "theta": spec.rope_theta,
    }
    if spec.rope_scaling == "llama3":
        own["rope_scaling"] = {
            "scaling_factor": spec.rope_factor,
            "high_freq_factor": LLAMA3_HIGH_FREQ_FACTOR,
            "low_freq_factor": LLAMA3_LOW_FREQ_FACTOR,
            "original_context_length": spec.original_seq_len,
        }
    return common | own


def training_config(spec: ModelSpec, run: RunSpec, title: str, model_file: Path) -> dict[str, Any]:
    """The contents of ``training_config``. Raises SpecError for a recipe it cannot follow."""
    check_recipe(spec, run)
    return {
        "project_name": title,
        "seed": run.seed % _SEEDS,
        "batch_size": run.batch_size,
        "gradient_accumulation_steps": run.accumulation_steps,
        # Steps end the run: so many passes over the text are never reached before.
        "num_epochs": run.steps,
        "max_steps": run.steps,
        "model_save_interval": run.save_every or run.steps,
        "data_path": _data_path(spec, run),
        "tokenizer_type": _tokenizer_type(spec, run),
        "model_config": str(model_file),
        "use_clip_grad_norm": run.grad_clip > 0,
        "clip_grad_norm_max_norm": run.grad_clip or 1.0,
        **_schedule(run),
        "optimizer": _optimizer(run),
    }


def _schedule(run: RunSpec) -> dict[str, Any]:
    if run.schedule == "constant" and not run.warmup_steps:
        return {"scheduler_type": "identity"}
    lowest = run.min_lr_ratio if run.schedule == "cosine" else 1.0
    return {
        "scheduler_type": "cosine_with_warmup",
        "lr_warmup_steps": run.warmup_steps,
        "lr_min": run.learning_rate * lowest,
        "lr_decay_steps": max(1, run.steps - run.warmup_steps),
    }


def _optimizer(run: RunSpec) -> dict[str, Any]:
    if run.optimizer != "adamw":
        return {
            "type": "SGD",
            "lr": run.learning_rate,
            "momentum": run.beta1 if run.optimizer == "sgd-momentum" else 0.0,
            "dampening": 0.0,
            "weight_decay": run.weight_decay,
            "nesterov": False,
        }
    chosen = {
        "type": "AdamWFullPrecision",
        "lr": run.learning_rate,
        "beta1": run.beta1,
        "beta2": run.beta2,
        "epsilon": _EPSILON,
        "weight_decay": run.weight_decay,
        "amsgrad": False,
    }
    if run.precision == "bf16":
        chosen |= {"type": "AdamW", "stochastic_rounding": True}
    return chosen


def _data_path(spec: ModelSpec, run: RunSpec) -> str:
    """A file of one's own by its whole path; else where a person is to put what tt-train reads.

    It takes a text only by characters, and goes by the end of the name.
    """
    if _tokenizer_type(spec, run) == "bpe":
        return f"data/{Path(run.corpus).stem}.yaml"
    own = Path(run.corpus).expanduser()
    if os.sep in run.corpus or own.is_file():
        return str(own.resolve())
    return f"data/{run.corpus}.txt"


def _tokenizer_type(spec: ModelSpec, run: RunSpec) -> str:
    kind = resolve_kind(run.tokenizer, spec.vocab_size)
    if kind == "byte":
        raise SpecError(
            "tokenizer", "tt-train has no tokenizer of bytes", {"tokenizer": "character"}
        )
    return "char" if kind == "character" else "bpe"


def tt_train_notes(spec: ModelSpec, run: RunSpec) -> tuple[str, ...]:
    """What a person should know who trains with these files: one sentence each."""
    found = [f"{TRAINING_FILE} drives tt-train, which is {NOT_VERIFIED} here"]
    padded = padded_vocabulary(spec)
    if padded != spec.vocab_size:
        found.append(f"the vocabulary of {spec.vocab_size:,} is rounded up to {padded:,}")
    text = _data_path(spec, run)
    if _tokenizer_type(spec, run) == "char":
        found.append(
            f"the text is read from {text}; its characters, rounded up to a multiple of 32, make "
            "the vocabulary, whatever vocab_size says"
        )
    else:
        found.append(f"tt-train reads subwords ready-made: put the ids of the text into {text}")
    if not card_name(run.device):
        found.append(f"{run.device} is no card: the files ask for one chip")
    found += differences(spec, run)
    if run.weight_decay:
        found.append("weight decay pulls at norms and biases too")
    if run.warmup_steps or run.schedule == "cosine":
        found.append("only versions that know the scheduler cosine_with_warmup follow the schedule")
    return tuple(found)


def write_tt_train(
    folder: Path, spec: ModelSpec, run: RunSpec, title: str, final: Path
) -> tuple[str, ...]:
    """Write both files into ``folder``, which will be called ``final``; return their names."""
    model = {"transformer_config": transformer_config(spec, run)}
    training = {
        "training_config": training_config(spec, run, title, final.resolve() / MODEL_FILE),
        "device_config": {
            "enable_ddp": mesh_shape(run.device)[1] > 1,
            "enable_tp": False,
            "mesh_shape": list(mesh_shape(run.device)),
        },
        "eval_config": {
            "repetition_penalty": 1.0,
            "temperature": run.temperature,
            "top_k": run.top_k,
            "top_p": 1.0,
        },
    }
    _write_yaml(folder / MODEL_FILE, model, (f"{title}: the model, for tt-train",))
    notes = tt_train_notes(spec, run)
    _write_yaml(folder / TRAINING_FILE, training, (f"{title}: the training, for tt-train", *notes))
    return MODEL_FILE, TRAINING_FILE


def _write_yaml(path: Path, values: dict[str, Any], comments: tuple[str, ...]) -> None:
    head = "".join(f"# {' '.join(comment.split())}\n" for comment in comments)
    body = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    path.write_text(head + body, encoding="utf-8")
