"""Our weights as ttml's parameters and back: names, shapes, joined matrices, order of rows.

ttml keeps everything in four dimensions, (1, 1, rows, columns), a vector as one row. Queries, keys
and values are joined to one matrix, or queries apart from the other two, by its version. Its
rotary positions turn neighbouring features; ours, as published checkpoints do, those half a head
apart: rows of queries and keys change places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.backends.card.model import Arrays
from engine.families import decoder as family
from engine.families.weight import expand
from engine.interop.tt_train_rules import tt_train_kind
from engine.spec import ModelSpec

Array = npt.NDArray[np.float32]


class UnknownParametersError(RuntimeError):
    """This ttml names its parameters otherwise than any version that is known here."""


@dataclass(frozen=True)
class _Joined:
    """One parameter of ttml: the weights that it is made of, one below the other."""

    parts: tuple[str, ...]


def parameter_plan(spec: ModelSpec, names: Iterable[str]) -> dict[str, _Joined]:
    """What each of ttml's parameters is made of. Raises UnknownParametersError.

    Every parameter must be known and every weight of ours have its place, so that nothing is
    left at random unnoticed.
    """
    known = _llama(spec) if tt_train_kind(spec) == "llama" else _gpt2(spec)
    plan = {}
    for name in names:
        if name not in known:
            raise UnknownParametersError(f"ttml has a parameter {name[:80]!r} that is not known")
        plan[name] = known[name]
    placed = {part for joined in plan.values() for part in joined.parts}
    for name, _ in expand(family.weights(spec)):
        if name not in placed:
            raise UnknownParametersError(f"ttml has no parameter for {name}")
    return plan


def _llama(spec: ModelSpec) -> dict[str, _Joined]:
    known = _outside(spec, "Llama", {"ln_fc/gamma": "model.norm.weight"})
    for layer in range(spec.num_layers):
        ours, theirs = f"model.layers.{layer}", f"Llama/blocks/{layer}"
        query, key, value = (f"{ours}.self_attn.{x}_proj.weight" for x in "qkv")
        for name, parts in {
            "attention_norm/gamma": (f"{ours}.input_layernorm.weight",),
            "mlp_norm/gamma": (f"{ours}.post_attention_layernorm.weight",),
            "attention/qkv_linear/weight": (query, key, value),
            "attention/q_linear/weight": (query,),
            "attention/kv_linear/weight": (key, value),
            "attention/out_linear/weight": (f"{ours}.self_attn.o_proj.weight",),
            "mlp/w1/weight": (f"{ours}.mlp.gate_proj.weight",),
            "mlp/w3/weight": (f"{ours}.mlp.up_proj.weight",),
            "mlp/w2/weight": (f"{ours}.mlp.down_proj.weight",),
        }.items():
            known[f"{theirs}/{name}"] = _Joined(parts)
    return known


def _gpt2(spec: ModelSpec) -> dict[str, _Joined]:
    known = _outside(
        spec, "NanoGPT",
        {
            "pos_emb/weight": "model.embed_positions.weight",
            "ln_f_gamma": "model.norm.weight",
            "ln_f_beta": "model.norm.bias",
        },
    )  # fmt: skip
    for layer in range(spec.num_layers):
        ours, theirs = f"model.layers.{layer}", f"NanoGPT/blocks/{layer}"
        norms = (("ln1", "input_layernorm"), ("ln2", "post_attention_layernorm"))
        for name, norm in norms:
            known[f"{theirs}/{name}/gamma"] = _Joined((f"{ours}.{norm}.weight",))
            known[f"{theirs}/{name}/beta"] = _Joined((f"{ours}.{norm}.bias",))
        for kind in ("weight", "bias"):
            joined = tuple(f"{ours}.self_attn.{x}_proj.{kind}" for x in "qkv")
            known[f"{theirs}/attention/qkv_linear/{kind}"] = _Joined(joined)
            for name, linear in (
                ("attention/out_linear", "self_attn.o_proj"),
                ("mlp/fc1", "mlp.up_proj"),
                ("mlp/fc2", "mlp.down_proj"),
            ):
                known[f"{theirs}/{name}/{kind}"] = _Joined((f"{ours}.{linear}.{kind}",))
    return known


def _outside(spec: ModelSpec, model: str, more: Mapping[str, str]) -> dict[str, _Joined]:
    """What is not in a block. A tied head and the embedding are one tensor under either name."""
    embedding = "model.embed_tokens.weight"
    head = embedding if spec.tied_embeddings else "lm_head.weight"
    own = {"tok_emb/weight": embedding, "fc/weight": head, **more}
    return {f"{model}/{name}": _Joined((weight,)) for name, weight in own.items()}


def to_ttml(spec: ModelSpec, arrays: Arrays, plan: Mapping[str, _Joined]) -> dict[str, Array]:
    """Arrays by our names (weights, or what an optimizer remembers of each) by ttml's."""
    return {
        name: _in_four_dimensions(
            np.concatenate([_turned(spec, part, arrays[part]) for part in joined.parts])
        )
        for name, joined in plan.items()
    }


def _in_four_dimensions(array: Array) -> Array:
    rows, columns = array.shape if array.ndim == 2 else (1, len(array))
    return np.ascontiguousarray(array).reshape(1, 1, rows, columns)


def from_ttml(spec: ModelSpec, arrays: Mapping[str, Array], plan: Mapping[str, _Joined]) -> Arrays:
    """The inverse of ``to_ttml``. Raises UnknownParametersError where a shape does not fit."""
    shapes = dict(expand(family.weights(spec)))
    found: Arrays = {}
    for name, joined in plan.items():
        flat = np.asarray(arrays[name], dtype=np.float32).reshape(-1)
        sizes = [int(np.prod(shapes[part])) for part in joined.parts]
        if len(flat) != sum(sizes):
            raise UnknownParametersError(
                f"ttml's {name} has {len(flat):,} numbers, this model {sum(sizes):,}"
            )
        pieces = np.split(flat, np.cumsum(sizes)[:-1])
        for part, piece in zip(joined.parts, pieces, strict=True):
            found[part] = _turned(spec, part, piece.reshape(shapes[part]), back=True)
    return {name: found[name] for name in shapes}


def _turned(spec: ModelSpec, name: str, array: Array, *, back: bool = False) -> Array:
    """Rows of rotated queries and keys in ttml's order; ``back``: in ours."""
    if spec.position != "rope" or not name.endswith(("q_proj.weight", "k_proj.weight")):
        return array
    half, columns = spec.head_size // 2, array.shape[1]
    inner = (half, 2) if back else (2, half)
    heads = array.reshape(-1, *inner, columns)
    return np.ascontiguousarray(heads.transpose(0, 2, 1, 3)).reshape(array.shape)
