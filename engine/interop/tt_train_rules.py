"""What tt-train's two kinds of model can hold, and where they differ from ours.

Taken from the sources of tt-train (the folder tt-train of github.com/tenstorrent/tt-metal): its
Llama, and its GPT-2 that it calls NanoGPT. A design that neither represents is refused by name;
what changes a number but not the model is told by ``differences``.
"""

from __future__ import annotations

from typing import Literal

from engine.devices.card import card_name, chips_of
from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_to_dict
from engine.spec import ModelSpec, model_parameters

Kind = Literal["llama", "gpt2"]

TILE = 32
_LARGEST_HEAD = 256
_NORM_EPS = {"llama": 1e-5, "gpt2": 1e-6}
_WANTED: dict[Kind, dict[str, Value]] = {
    "llama": {
        "norm": "rmsnorm", "norm_position": "pre", "activation": "swiglu", "position": "rope",
        "qkv_bias": False, "attention_output_bias": False, "mlp_bias": False, "head_bias": False,
    },
    "gpt2": {
        "norm": "layernorm", "norm_position": "pre", "activation": "gelu", "position": "learned",
        "qkv_bias": True, "attention_output_bias": True, "mlp_bias": True, "head_bias": False,
    },
}  # fmt: skip
_KINDS: tuple[Kind, ...] = ("llama", "gpt2")
_TITLES = {"llama": "Llama", "gpt2": "GPT-2"}
_OPTIMIZERS = ("adamw", "sgd-momentum", "sgd")
# Settings of which tt-train, as we drive it, has one kind only: what it has, and why no other.
_ONLY: dict[str, tuple[tuple[Value, ...], str]] = {
    "optimizer": (("adamw",), "tt-train is driven with AdamW here"),
    "compile": (("auto", "off"), "torch.compile has no part in tt-train"),
    "attention": (("auto",), "tt-train computes attention in its own way, which is not chosen"),
    "loss_chunk": (
        (None,), "tt-train takes the loss of a whole batch: accumulate smaller ones instead"
    ),
}  # fmt: skip


def tt_train_kind(spec: ModelSpec) -> Kind:
    """The kind of model in tt-train that has exactly this design's weights.

    Raises SpecError that names the first option in the way and, as a fix, all that would have to
    change for the kind that is nearer.
    """
    misfits = {kind: _misfits(spec, kind) for kind in _KINDS}
    # Where both are as far away, the one that has this design's positions.
    learned = spec.position == "learned"
    kind = min(_KINDS, key=lambda kind: (len(misfits[kind]), learned != (kind == "gpt2")))
    fix = misfits[kind]
    if fix:
        what = ", ".join(_in_words(spec, field) for field in fix)
        raise SpecError(
            next(iter(fix)),
            f"tt-train has no model of this design: the nearest, its {_TITLES[kind]}, cannot "
            f"have {what}",
            fix,
        )
    return kind


def _misfits(spec: ModelSpec, kind: Kind) -> dict[str, Value]:
    """What this kind cannot have, with the value that it can."""
    fix = {field: value for field, value in _WANTED[kind].items() if getattr(spec, field) != value}
    if spec.head_dim is not None and spec.head_dim * spec.num_heads != spec.hidden_dim:
        fix["head_dim"] = None
    if kind == "llama":
        if spec.rope_scaling not in ("none", "llama3"):
            fix["rope_scaling"] = "none"
    elif spec.num_kv_heads != spec.num_heads:
        fix["num_kv_heads"] = spec.num_heads
    return fix | _wrong_sizes(spec, kind)


def _wrong_sizes(spec: ModelSpec, kind: Kind) -> dict[str, Value]:
    """Sizes that do not fill tiles (or that GPT-2 fixes), with the nearest that do."""
    fix: dict[str, Value] = {}
    for field in ("hidden_dim", "max_seq_len"):
        size = getattr(spec, field)
        if size % TILE:
            fix[field] = _up(size)
    if kind == "gpt2":
        if spec.mlp_dim != 4 * spec.hidden_dim:
            fix["mlp_dim"] = 4 * _up(spec.hidden_dim)
        return fix
    if spec.mlp_dim % TILE:
        fix["mlp_dim"] = _up(spec.mlp_dim)
    size = spec.hidden_dim // spec.num_heads
    if size % TILE or size > _LARGEST_HEAD:
        heads = _heads_of_whole_tiles(_up(spec.hidden_dim), spec.num_heads)
        fix["num_heads"] = heads
        fix["num_kv_heads"] = max(
            k for k in range(1, heads + 1) if heads % k == 0 and k <= max(1, spec.num_kv_heads)
        )
    return fix


def _heads_of_whole_tiles(hidden: int, wanted: int) -> int:
    """The number of heads nearest to ``wanted`` whose size is 32, 64, … 256."""
    sizes = range(TILE, _LARGEST_HEAD + 1, TILE)
    possible = [hidden // size for size in sizes if hidden % size == 0]
    return min(possible, key=lambda heads: abs(heads - wanted))


def _up(number: int) -> int:
    return -(-number // TILE) * TILE


def _in_words(spec: ModelSpec, field: str) -> str:
    parameter, value = model_parameters()[field], getattr(spec, field)
    if parameter.kind == "flag":
        with_it = "" if value else "no "
        return f"{with_it}{parameter.label} ({field})"
    shown = parameter.choices[value] if parameter.choices else value
    return f"{parameter.label} {shown} ({field})"


def padded_vocabulary(spec: ModelSpec) -> int:
    """The vocabulary that tt-train makes of this one: the next multiple of 32."""
    return _up(spec.vocab_size)


def mesh_shape(device: str) -> tuple[int, int]:
    """Rows and columns of the chips that a run on this device uses; (1, 1) for no card at all."""
    return (1, chips_of(device))


def tt_train_problems(spec: ModelSpec, run: RunSpec) -> tuple[SpecError, ...]:
    """All that keeps tt-train from training a valid design as we drive it on the run's card.

    Each problem comes with values that remove it.
    """
    found: list[SpecError] = []
    try:
        tt_train_kind(spec)
    except SpecError as problem:
        found.append(problem)
    found += [problem for problem in (_length(spec, run), _vocabulary(spec)) if problem is not None]
    values = run_to_dict(run)
    found += [
        SpecError(name, message, {name: allowed[0]})
        for name, (allowed, message) in _ONLY.items()
        if values[name] not in allowed
    ]
    found += [problem for problem in (_card(run), _shares(run)) if problem is not None]
    return tuple(found)


def check_recipe(spec: ModelSpec, run: RunSpec) -> None:
    """Refuse by name what tt-train cannot do as a run asks for it: SpecError with a fix."""
    for problem in (_shares(run), _length(spec, run)):
        if problem is not None:
            raise problem
    if run.optimizer not in _OPTIMIZERS:
        raise SpecError(
            "optimizer", f"tt-train has no optimizer like {run.optimizer}", {"optimizer": "adamw"}
        )


def _vocabulary(spec: ModelSpec) -> SpecError | None:
    padded = padded_vocabulary(spec)
    if padded == spec.vocab_size:
        return None
    message = (
        f"tt-train's vocabularies are multiples of 32, and {spec.vocab_size:,} is none; rows that "
        "the tokenizer does not use do no harm"
    )
    return SpecError("vocab_size", message, {"vocab_size": padded})


def _length(spec: ModelSpec, run: RunSpec) -> SpecError | None:
    if run.sequence_length(spec) == spec.max_seq_len:
        return None
    message = f"tt-train learns at the model's whole context, {spec.max_seq_len:,} tokens"
    return SpecError("seq_len", message, {"seq_len": None})


def _shares(run: RunSpec) -> SpecError | None:
    """Whether each chip gets as many sequences as the others."""
    chips = mesh_shape(run.device)[1]
    if run.batch_size % chips == 0:
        return None
    name = card_name(run.device).partition(":")[0]
    more = -(-run.batch_size // chips) * chips
    message = (
        f"{run.batch_size:,} sequences cannot be shared evenly among the {chips} chips of {name}"
    )
    return SpecError("batch_size", message, {"batch_size": more})


def _card(run: RunSpec) -> SpecError | None:
    name, _, number = card_name(run.device).partition(":")
    if not name:
        message = f"{run.device[:40]!r} is not a Tenstorrent card"
        return SpecError("device", message, {"device": "n150"})
    if mesh_shape(name) == (1, 1) or number == "0":
        return None
    message = f"tt-train opens the first chips of a computer: {name}:{number} are others"
    return SpecError("device", message, {"device": f"{name}:0"})


def differences(spec: ModelSpec, run: RunSpec) -> tuple[str, ...]:
    """What tt-train computes otherwise than we do with the same design and recipe."""
    kind = tt_train_kind(spec)
    found = []
    if run.precision == "fp32":
        found.append(
            "it computes in bf16; in place of fp32 the optimizer keeps fp32 weights and moments"
        )
    elif run.precision == "bf16":
        found.append("weights and moments are bf16, rounded at random so that small steps count")
    if spec.norm_eps != _NORM_EPS[kind]:
        found.append(f"its norms add {_NORM_EPS[kind]:g}, not {spec.norm_eps:g}")
    if spec.dropout:
        where = "" if kind == "gpt2" else ", and not to the embeddings"
        found.append(f"dropout is not applied to attention's scores{where}")
    return tuple(found)
