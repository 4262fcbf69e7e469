"""What training by tt-train needs of a run and of the interpreter, told before a card is opened."""

from __future__ import annotations

import importlib
from typing import Any

from engine.devices.card import card_name
from engine.interop.tt_train_rules import (
    check_recipe,
    mesh_shape,
    padded_vocabulary,
    tt_train_kind,
)
from engine.parameter import SpecError
from engine.run_spec import RunSpec
from engine.spec import ModelSpec


def check_tt_train(spec: ModelSpec, run: RunSpec) -> None:
    """Refuse by name what this worker cannot do: SpecError with a fix."""
    tt_train_kind(spec)
    check_recipe(spec, run)
    padded = padded_vocabulary(spec)
    if padded != spec.vocab_size:
        raise SpecError(
            "vocab_size",
            f"tt-train's vocabularies are multiples of 32, and {spec.vocab_size:,} is none; rows "
            "that the tokenizer does not use do no harm",
            {"vocab_size": padded},
        )
    if run.optimizer != "adamw":
        raise SpecError("optimizer", "tt-train is driven with AdamW here", {"optimizer": "adamw"})
    name, _, number = card_name(run.device).partition(":")
    if not name:
        raise SpecError("device", f"{run.device[:40]!r} is not a Tenstorrent card",
                        {"device": "n150"})  # fmt: skip
    if mesh_shape(name) != (1, 1) and number != "0":
        raise SpecError(
            "device", f"tt-train opens the first chips of a computer: {name}:{number} are others",
            {"device": f"{name}:0"},
        )  # fmt: skip


def load_ttml() -> tuple[Any, Any]:
    """The modules ttml and ttnn. Raises SpecError where they are not there, or not tt-train's."""
    try:
        ttnn, ttml = importlib.import_module("ttnn"), importlib.import_module("ttml")
        if not hasattr(ttml, "autograd"):
            raise ImportError("the ttml that is installed is another package of that name")
        for name in ("llama", "nanogpt"):
            importlib.import_module(f"ttml.models.{name}")
    except ImportError as error:
        raise SpecError(
            "device", f"tt-train's Python package cannot be used: {error}. It is built from source "
            "together with tt-metal (docs/tenstorrent.md)"
        ) from error  # fmt: skip
    return ttml, ttnn
