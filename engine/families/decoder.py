"""The decoder-only transformer: its weights, under the names that Llama's checkpoints use.

Sources: GPT-2 (Radford et al. 2019) for learned positions, LayerNorm and biases; LLaMA (Touvron et
al. 2023, arXiv:2302.13971) for RMSNorm, gated feed-forward and rotary positions; grouped-query
attention from Ainslie et al. 2023 (arXiv:2305.13245).
"""

from __future__ import annotations

from functools import lru_cache

from engine.families.weight import Weight
from engine.spec import ModelSpec

_BLOCK = "model.layers.{layer}."


@lru_cache(maxsize=512)
def weights(spec: ModelSpec) -> tuple[Weight, ...]:
    """Every weight of the model, in the order of the forward pass.

    A tied head is the embedding matrix itself and is not listed again. Rotary, sinusoidal and
    ALiBi positions have no weights.
    """
    listed = [Weight("model.embed_tokens.weight", "embedding", (spec.vocab_size, spec.hidden_dim))]
    if spec.position == "learned":
        shape = (spec.max_seq_len, spec.hidden_dim)
        listed.append(Weight("model.embed_positions.weight", "position", shape))
    listed += _norm(_BLOCK + "input_layernorm", spec, spec.num_layers)
    listed += _attention(spec)
    listed += _norm(_BLOCK + "post_attention_layernorm", spec, spec.num_layers)
    listed += _mlp(spec)
    if spec.norm_position == "pre":
        listed += _norm("model.norm", spec, 1)
    if not spec.tied_embeddings:
        listed.append(Weight("lm_head.weight", "head", (spec.vocab_size, spec.hidden_dim)))
    if spec.head_bias:
        listed.append(Weight("lm_head.bias", "head", (spec.vocab_size,)))
    return tuple(listed)


def _norm(name: str, spec: ModelSpec, copies: int) -> list[Weight]:
    listed = [Weight(f"{name}.weight", "norm", (spec.hidden_dim,), copies)]
    if spec.norm == "layernorm":
        listed.append(Weight(f"{name}.bias", "norm", (spec.hidden_dim,), copies))
    return listed


def _attention(spec: ModelSpec) -> list[Weight]:
    d, queries = spec.hidden_dim, spec.num_heads * spec.head_size
    keys = spec.num_kv_heads * spec.head_size
    name = _BLOCK + "self_attn."
    return [
        *_linear(f"{name}q_proj", "attention", queries, d, spec.qkv_bias, spec.num_layers),
        *_linear(f"{name}k_proj", "attention", keys, d, spec.qkv_bias, spec.num_layers),
        *_linear(f"{name}v_proj", "attention", keys, d, spec.qkv_bias, spec.num_layers),
        *_linear(
            f"{name}o_proj", "attention", d, queries, spec.attention_output_bias, spec.num_layers
        ),
    ]


def _mlp(spec: ModelSpec) -> list[Weight]:
    d, m, bias, copies = spec.hidden_dim, spec.mlp_dim, spec.mlp_bias, spec.num_layers
    name = _BLOCK + "mlp."
    gate = _linear(f"{name}gate_proj", "mlp", m, d, bias, copies) if spec.gated else []
    return [
        *gate,
        *_linear(f"{name}up_proj", "mlp", m, d, bias, copies),
        *_linear(f"{name}down_proj", "mlp", d, m, bias, copies),
    ]


def _linear(
    name: str, group: str, out_dim: int, in_dim: int, bias: bool, copies: int
) -> list[Weight]:
    listed = [Weight(f"{name}.weight", group, (out_dim, in_dim), copies)]
    if bias:
        listed.append(Weight(f"{name}.bias", group, (out_dim,), copies))
    return listed
