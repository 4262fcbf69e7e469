"""Designs for these tests: tiny ones by hand, and any valid one by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from engine.parameter import Value
from engine.spec import ModelSpec

POSITIONS = ("none", "sinusoidal", "learned", "rope", "alibi")
ACTIVATIONS = ("relu", "gelu", "swiglu", "geglu")
NORMS = ("rmsnorm", "layernorm")
PLACEMENTS = ("pre", "post")
HEADS = {"MHA": (4, 4), "GQA": (4, 2), "MQA": (4, 1)}

TINY = ModelSpec(
    hidden_dim=16, num_layers=2, num_heads=4, num_kv_heads=4, mlp_dim=24, max_seq_len=12,
    vocab_size=11, init_std=0.2,
)  # fmt: skip


def tiny(**changes: Value) -> ModelSpec:
    """A model that computes in a millisecond, with weights wide enough that everything matters."""
    return TINY.replace(**changes)


@st.composite
def valid_specs(draw: st.DrawFn, max_layers: int = 3, max_unit: int = 9) -> ModelSpec:
    """Any design that can be built, small in size and with every option drawn."""
    position = draw(st.sampled_from(POSITIONS))
    kv_heads, group = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    heads = kv_heads * group
    even = 2 if position in ("rope", "sinusoidal") else 1
    head_size = even * draw(st.integers(1, max_unit))
    explicit = draw(st.booleans())
    hidden = even * draw(st.integers(1, 40)) if explicit else heads * head_size
    flags = ("qkv_bias", "attention_output_bias", "mlp_bias", "tied_embeddings", "head_bias")
    return ModelSpec(
        hidden_dim=hidden,
        num_layers=draw(st.integers(1, max_layers)),
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_size if explicit else None,
        mlp_dim=draw(st.integers(1, 50)),
        max_seq_len=draw(st.integers(1, 40)),
        vocab_size=draw(st.integers(2, 60)),
        position=position,
        activation=draw(st.sampled_from(ACTIVATIONS)),
        norm=draw(st.sampled_from(NORMS)),
        norm_position=draw(st.sampled_from(PLACEMENTS)),
        rope_theta=draw(st.sampled_from((1.0, 100.0, 1e4, 5e5, 1e9))),
        rope_scaling=draw(st.sampled_from(("none", "linear", "ntk", "yarn", "llama3"))),
        rope_factor=draw(st.sampled_from((1.0, 2.0, 8.0, 1024.0))),
        dropout=draw(st.sampled_from((0.0, 0.1))),
        **{flag: draw(st.booleans()) for flag in flags},
    )
