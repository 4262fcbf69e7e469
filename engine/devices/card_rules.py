"""What of a design and a run training on Tenstorrent cards lacks, said before the run begins."""

from __future__ import annotations

import math

from engine.interop.tt_train_rules import tt_train_problems
from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_to_dict
from engine.spec import ModelSpec, model_parameters

# Nobody here has a card: whatever drives one says so until somebody has seen it work.
NOT_VERIFIED = "not yet verified on hardware"

_TILE = 32
# What each setting may be, the first being the way out, and why it may be nothing else.
_ALLOWED: dict[str, tuple[tuple[Value, ...], str]] = {
    "optimizer": (
        ("adamw", "sgd-momentum", "sgd"),
        "the Tenstorrent backend has AdamW and SGD with and without momentum",
    ),
    "compile": (
        ("auto", "off"),
        "torch.compile does not run on a Tenstorrent card, whose operations are compiled anyway",
    ),
    "attention": (
        ("auto",),
        "the Tenstorrent backend has one kind of attention: it keeps no scores",
    ),
    "loss_chunk": (
        (None,),
        "the Tenstorrent backend takes the loss of a whole batch: accumulate smaller ones instead",
    ),
}


def unsupported(spec: ModelSpec, run: RunSpec) -> tuple[SpecError, ...]:
    """Everything that keeps a valid design from being trained on a card by ``run.card_backend``.

    Each problem comes with values that remove it and leave the design valid. Our own graph has
    all kinds of norms, positions, attention and feed-forward networks, and dropout; what tt-train
    has is told by engine.interop.tt_train_rules.
    """
    if run.card_backend == "tt-train":
        return tt_train_problems(spec, run)
    found = [problem for problem in (_width(spec), _precision(run)) if problem is not None]
    return (*found, *_settings(run))


def check_for_cards(spec: ModelSpec, run: RunSpec) -> None:
    """Raise the first problem of ``unsupported``, where there is any."""
    for problem in unsupported(spec, run):
        raise problem


def _width(spec: ModelSpec) -> SpecError | None:
    if spec.hidden_dim % _TILE == 0:
        return None
    unit = _TILE
    if spec.head_dim is None:  # the width is split among the heads, RoPE's in pairs
        unit = math.lcm(_TILE, spec.num_heads * (2 if spec.position == "rope" else 1))
    limit = int(model_parameters()["hidden_dim"].maximum or 0)
    wider = -(-spec.hidden_dim // unit) * unit
    fix: dict[str, Value] = {"hidden_dim": wider}
    if wider > limit:  # no width suits these heads: give them a size of their own
        fix = {"hidden_dim": min(-(-spec.hidden_dim // _TILE) * _TILE, limit // _TILE * _TILE),
               "head_dim": spec.head_size}  # fmt: skip
    message = f"a Tenstorrent card works in tiles of 32, and {spec.hidden_dim:,} is no multiple"
    return SpecError("hidden_dim", message, fix)


def suited_to_cards(run: RunSpec) -> RunSpec:
    """The run in a precision that its trainer has on a card: for one that nobody has chosen.

    tt-train takes any and computes in bf16, which it says.
    """
    problem = _precision(run) if run.card_backend == "ttnn" else None
    return run if problem is None else run.replace(**problem.fix)


def _precision(run: RunSpec) -> SpecError | None:
    if run.precision != "fp32":
        return None
    message = (
        "a Tenstorrent card multiplies matrices in 19 bits at most: it would not be the fp32 "
        "that it is called"
    )
    return SpecError("precision", message, {"precision": "bf16-mixed"})


def _settings(run: RunSpec) -> list[SpecError]:
    """Settings of which this backend has one kind only.

    Read by name: those that this version's runs do not have are nowhere else to be refused.
    """
    values = run_to_dict(run)
    return [
        SpecError(name, message, {name: allowed[0]})
        for name, (allowed, message) in _ALLOWED.items()
        if values.get(name, allowed[0]) not in allowed
    ]
