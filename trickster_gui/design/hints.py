"""What a value amounts to, in a few words beside it: ratios, head sizes, kinds."""

from __future__ import annotations

from collections.abc import Callable

from engine.devices.card import card_name, chips_of
from engine.devices.card_rules import NOT_VERIFIED
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.words import percent, short_count
from trickster_gui.document import Design


def hint(name: str, design: Design) -> str:
    """The derived fact for one parameter; empty where there is nothing to add."""
    if name in _MODEL:
        return _MODEL[name](design.model)
    if name in _RUN:
        return _RUN[name](design.run, design.model)
    return _tokenizer(design) if name == "vocab_size" else ""


def _head_size(spec: ModelSpec) -> str:
    if spec.head_dim is None and spec.hidden_dim % max(1, spec.num_heads):
        return "does not divide"
    return f"head size {spec.head_size:,}"


def _grouping(spec: ModelSpec) -> str:
    heads, shared = spec.num_heads, spec.num_kv_heads
    if shared == heads:
        return "MHA"
    if shared == 1:
        return "MQA"
    if shared < 1 or heads % shared:
        return ""
    return f"GQA {heads // shared}:1"


def _ratio(spec: ModelSpec) -> str:
    return f"{spec.mlp_dim / max(1, spec.hidden_dim):.3g} × hidden"


def _attention_width(spec: ModelSpec) -> str:
    return f"{spec.num_heads:,} × {spec.head_size:,} = {spec.num_heads * spec.head_size:,}"


def _original(spec: ModelSpec) -> str:
    return f"{spec.original_seq_len:,} tokens" if spec.rope_original_seq_len is None else ""


def _tokenizer(design: Design) -> str:
    kind = design.run.tokenizer
    if kind == "auto":
        size = design.model.vocab_size
        kind = "character" if size < 256 else "byte" if size < 512 else "bpe"
    return {"character": "characters", "byte": "bytes", "bpe": "subwords"}.get(kind, "")


def _sequence(run: RunSpec, spec: ModelSpec) -> str:
    return f"{spec.max_seq_len:,} tokens" if run.seq_len is None else ""


def _step_tokens(run: RunSpec, spec: ModelSpec) -> str:
    return f"{run.tokens_per_step(spec):,} tokens a step"


def _run_tokens(run: RunSpec, spec: ModelSpec) -> str:
    return f"{short_count(run.steps * run.tokens_per_step(spec))} tokens in all"


def _warmup(run: RunSpec, spec: ModelSpec) -> str:
    return f"{percent(run.warmup_steps / max(1, run.steps))} of the run"


def _train_part(run: RunSpec, spec: ModelSpec) -> str:
    return f"{percent(1 - run.train_fraction)} only measures"


def _on_card(run: RunSpec, spec: ModelSpec) -> str:
    """Which chips of the card compute, and that nobody has seen it do so."""
    if not card_name(run.device):
        return ""
    chips = chips_of(run.device)
    if run.card_backend == "tt-train":
        together = "both" if chips == 2 else f"all {chips}"
        told = f"{together} chips train; " if chips > 1 else ""
    else:
        told = f"1 of {chips} chips trains; " if chips > 1 else ""
    return told + NOT_VERIFIED


_MODEL: dict[str, Callable[[ModelSpec], str]] = {
    "num_heads": _head_size,
    "num_kv_heads": _grouping,
    "mlp_dim": _ratio,
    "head_dim": _attention_width,
    "rope_original_seq_len": _original,
}
_RUN: dict[str, Callable[[RunSpec, ModelSpec], str]] = {
    "batch_size": _step_tokens,
    "seq_len": _sequence,
    "steps": _run_tokens,
    "warmup_steps": _warmup,
    "train_fraction": _train_part,
    "card_backend": _on_card,
}

# Parameters that may have a hint.
HINTED = frozenset({*_MODEL, *_RUN, "vocab_size"})
