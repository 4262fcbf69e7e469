"""What a preset's source prints, each figure beside the exact one and why they differ.

The printed texts and the reasons are data (``presets.yaml``). The exact figures are never typed
in: a claim names a quantity, and ``QUANTITIES`` works it out from the preset's own design.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from engine.cost.cache import weight_bytes
from engine.cost.flops import Flops, flops_per_token
from engine.cost.memory import training_memory
from engine.cost.parameters import count
from engine.cost.time import compute_optimal_tokens
from engine.parameter import Value
from engine.presets import Claim, Preset, load_presets, preset
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.words import exact_count

_PLACE = re.compile(r"\{([^{}]+)\}")
_UNITS = (("TB", 1e12, "TiB", 2**40), ("GB", 1e9, "GiB", 2**30), ("MB", 1e6, "MiB", 2**20))


@dataclass(frozen=True)
class Exact:
    """An exact quantity: its number (or numbers, in a stated order) and how it is written."""

    value: int | float | tuple[float, ...]
    text: str


@dataclass(frozen=True)
class Checked:
    """A claim with its exact counterpart.

    Attributes:
        figure: what it is the number of.
        printed: the number as the source prints it.
        exact: the same as this program computes it.
        why: one sentence on why they differ, or that they do not.
    """

    figure: str
    printed: str
    exact: Exact
    why: str


@dataclass(frozen=True)
class Subject:
    """What a quantity is worked out from: a design, and another that it is compared with."""

    spec: ModelSpec
    run: RunSpec
    other: Preset | None = None

    def changed(self, **changes: Value) -> ModelSpec:
        """The design with something else in one place."""
        return self.spec.replace(**changes)


def checked_claims(entry: Preset) -> tuple[Checked, ...]:
    """All that the source of a preset prints, checked; none for a design that cannot be built."""
    return () if entry.total is None else _checked(entry)


def preset_like(spec: ModelSpec) -> Preset | None:
    """The preset whose model this is to the last parameter; None for a design of one's own."""
    return _by_model().get(spec)


def headline(entry: Preset) -> str:
    """The first claim in a sentence: ``The lesson prints ~11M: exactly 5,180,672.``"""
    claims = checked_claims(entry)
    if not claims:
        return ""
    return f"{entry.printed_by} prints {claims[0].printed}: exactly {claims[0].exact.text}."


def exact(name: str, subject: Subject) -> Exact:
    """The quantity called ``name``; KeyError for one that there is not."""
    return QUANTITIES[name](subject)


@lru_cache(maxsize=1)
def _by_model() -> dict[ModelSpec, Preset]:
    """Presets by model; of two with the same the first one, which comes with more to say."""
    return {entry.model: entry for entry in reversed(load_presets())}


@lru_cache(maxsize=64)
def _checked(entry: Preset) -> tuple[Checked, ...]:
    return tuple(_check(claim, entry) for claim in entry.claims)


def _check(claim: Claim, entry: Preset) -> Checked:
    other = preset(claim.beside) if claim.beside else None
    subject = Subject(claim.model or entry.model, entry.run, other)
    why = _PLACE.sub(lambda place: exact(place[1], subject).text, claim.why)
    return Checked(claim.figure, claim.printed, exact(claim.exact, subject), why)


# How quantities are written


def _number(value: int) -> Exact:
    return Exact(value, exact_count(value))


def _size(size_bytes: int) -> Exact:
    """Bytes in decimal and binary units: sources mix up the two."""
    for decimal, per_decimal, binary, per_binary in _UNITS:
        if size_bytes >= per_decimal:
            return Exact(
                size_bytes,
                f"{size_bytes / per_decimal:.2f} {decimal} = {size_bytes / per_binary:.2f} "
                f"{binary}",
            )
    return Exact(size_bytes, f"{size_bytes:,} bytes")


def _percents(parts: Sequence[float], digits: int) -> Exact:
    """Shares of a whole in the order that the figure names: ``5.96 / 88.08 / 5.96 %``."""
    percents = tuple(100 * part for part in parts)
    return Exact(percents, " / ".join(f"{value:.{digits}f}" for value in percents) + " %")


def _percent(share: float) -> Exact:
    return Exact(100 * share, f"{100 * share:.1f} %")


def _times(ratio: float) -> Exact:
    return Exact(ratio, f"{ratio:.2f} ×" if ratio < 99.5 else f"{ratio:.0f} ×")


# What they are


def _block(group: str) -> Callable[[Subject], Exact]:
    return lambda s: _number(count(s.spec).block.get(group, 0))


def _group(group: str) -> Callable[[Subject], Exact]:
    return lambda s: _number(count(s.spec).groups.get(group, 0))


def _blocks(spec: ModelSpec) -> int:
    return spec.num_layers * sum(count(spec).block.values())


def _parameter_shares(s: Subject) -> Exact:
    counted = count(s.spec)
    parts = (counted.groups["embedding"], _blocks(s.spec), counted.groups.get("head", 0))
    return _percents([number / counted.total for number in parts], 2)


def _block_shares(s: Subject) -> Exact:
    block = count(s.spec).block
    whole = sum(block.values())
    return _percents((block["attention"] / whole, block["mlp"] / whole), 1)


def _flops(s: Subject) -> Flops:
    return flops_per_token(s.spec, s.run.sequence_length(s.spec))


def _flop_shares(s: Subject) -> Exact:
    """Shares of feed-forward networks, attention (projections, scores) and head."""
    flops = _flops(s)
    attention = flops.parts["projections"] + flops.parts["scores"]
    parts = (flops.parts["mlp"], attention, flops.parts["head"])
    return _percents([number / flops.training for number in parts], 1)


def _flop_share(part: str) -> Callable[[Subject], Exact]:
    return lambda s: _percent(_flops(s).parts[part] / _flops(s).training)


def _doubled_sequence(s: Subject) -> Exact:
    """How many times the arithmetic of a sequence of twice the length is, part by part."""
    now = _flops(s)
    then = flops_per_token(s.spec, 2 * now.seq_len)
    parts = ("scores", "projections", "mlp")
    ratios = tuple(2 * then.parts[part] / now.parts[part] for part in parts)
    return Exact(ratios, " / ".join(f"{ratio:g} ×" for ratio in ratios))


def _depth_ratio(s: Subject) -> Exact:
    assert s.other is not None
    return _times(s.other.model.num_layers / s.spec.num_layers)


def _flops_ratio(s: Subject) -> Exact:
    """FLOPs a token of the other design for each of this one's, at this one's sequence length."""
    assert s.other is not None
    now = _flops(s)
    return _times(flops_per_token(s.other.model, now.seq_len).training / now.training)


def _per_parameter(size_bytes: int) -> Callable[[Subject], Exact]:
    return lambda s: _size(size_bytes * count(s.spec).total)


def _weights_and_masks(s: Subject) -> Exact:
    """A file of fp32 weights in which every block keeps its causal mask, T × T numbers of fp32."""
    masks = 4 * s.spec.num_layers * s.spec.max_seq_len**2
    return _size(weight_bytes(s.spec, "fp32") + masks)


def _head_shape(s: Subject) -> Exact:
    shape = (s.spec.hidden_dim, s.spec.head_size)
    return Exact(shape, " × ".join(f"{size:,}" for size in shape))


QUANTITIES: dict[str, Callable[[Subject], Exact]] = {
    "params.total": lambda s: _number(count(s.spec).total),
    "params.total.two_matrices": lambda s: _number(count(s.changed(activation="relu")).total),
    "params.total.tied": lambda s: _number(count(s.changed(tied_embeddings=True)).total),
    "params.embedding": _group("embedding"),
    "params.head": _group("head"),
    "params.blocks": lambda s: _number(_blocks(s.spec)),
    "params.block": lambda s: _number(sum(count(s.spec).block.values())),
    "params.block.attention": _block("attention"),
    "params.block.attention.ungrouped": lambda s: _number(
        count(s.changed(num_kv_heads=s.spec.num_heads)).block["attention"]
    ),
    "params.block.mlp": _block("mlp"),
    "params.block.mlp.two_matrices": lambda s: _number(
        count(s.changed(activation="relu")).block["mlp"]
    ),
    "params.block.norm": _block("norm"),
    # Query, key and value matrices: of one head, and of all the heads of a block.
    "params.attention_head": lambda s: _number(3 * s.spec.hidden_dim * s.spec.head_size),
    "params.attention_heads": lambda s: _number(
        3 * s.spec.hidden_dim * s.spec.num_heads * s.spec.head_size
    ),
    "params.share.mlp": lambda s: _percent(count(s.spec).groups["mlp"] / count(s.spec).total),
    "params.shares": _parameter_shares,
    "params.block.shares": _block_shares,
    "shape.query_of_head": _head_shape,
    "flops.shares": _flop_shares,
    "flops.share.projections": _flop_share("projections"),
    "flops.share.scores": _flop_share("scores"),
    "flops.doubled_sequence": _doubled_sequence,
    "ratio.depth": _depth_ratio,
    "ratio.flops": _flops_ratio,
    # The lesson's bytes a parameter: bf16 weights and gradients, AdamW's two fp32 numbers.
    "memory.weights_16": _per_parameter(2),
    "memory.gradients_16": _per_parameter(2),
    "memory.adamw": _per_parameter(8),
    "memory.states_12": _per_parameter(12),
    "memory.peak": lambda s: _size(training_memory(s.spec, s.run).peak_bytes),
    "memory.activations": lambda s: _size(training_memory(s.spec, s.run).activations_bytes),
    "file.weights_32": lambda s: _size(weight_bytes(s.spec, "fp32")),
    "file.weights_and_masks": _weights_and_masks,
    "tokens.optimal": lambda s: _number(compute_optimal_tokens(count(s.spec).total)),
}
