"""What of a design and a run this backend lacks, said before the run begins."""

from __future__ import annotations

import math

from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec
from engine.spec import ModelSpec, model_parameters

_TILE = 32


def unsupported(spec: ModelSpec, run: RunSpec) -> tuple[SpecError, ...]:
    """Everything that keeps a valid design from being trained on a Tenstorrent card.

    Each problem comes with values that remove it and leave the design valid. All kinds of norms,
    positions, attention, feed-forward networks and optimizers are there, and dropout.
    """
    found = (_width(spec), _precision(run), _compile(run))
    return tuple(problem for problem in found if problem is not None)


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


def _precision(run: RunSpec) -> SpecError | None:
    if run.precision != "fp32":
        return None
    message = (
        "a Tenstorrent card multiplies matrices in 19 bits at most: it would not be the fp32 "
        "that it is called"
    )
    return SpecError("precision", message, {"precision": "bf16-mixed"})


def _compile(run: RunSpec) -> SpecError | None:
    if run.compile != "on":
        return None
    message = "torch.compile does not run on a Tenstorrent card, whose operations are compiled"
    return SpecError("compile", message, {"compile": "auto"})
