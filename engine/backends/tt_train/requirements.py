"""What training by tt-train needs of a run and of the interpreter, told before a card is opened."""

from __future__ import annotations

import importlib
from typing import Any

from engine.interop.tt_train_rules import tt_train_problems
from engine.parameter import SpecError
from engine.run_spec import RunSpec
from engine.spec import ModelSpec


def check_tt_train(spec: ModelSpec, run: RunSpec) -> None:
    """Refuse by name what this worker cannot do: SpecError with a fix."""
    for problem in tt_train_problems(spec, run):
        raise problem


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
