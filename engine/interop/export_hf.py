"""Our models as Hugging Face's: config.json and weights that transformers computes alike.

Three of its kinds represent some of our designs exactly: Llama, Qwen2 and GPT-2. What none of
them represents is refused by name, since a near model would be another model.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from engine.interop.run_weights import Weights
from engine.parameter import SpecError
from engine.rotary import (
    LLAMA3_HIGH_FREQ_FACTOR,
    LLAMA3_LOW_FREQ_FACTOR,
    YARN_FAST_ROTATIONS,
    YARN_SLOW_ROTATIONS,
    ntk_base,
    rope_attention_factor,
    yarn_ramp_bounds,
)
from engine.run_spec import RunSpec
from engine.spec import ModelSpec, model_parameters

Kind = Literal["llama", "qwen2", "gpt2"]
_LLAMA_ACTIVATIONS = {"swiglu": "silu", "geglu": "gelu"}
_GPT2_ACTIVATIONS = {"gelu": "gelu", "relu": "relu"}


def hf_kind(spec: ModelSpec) -> Kind:
    """The kind of model in transformers that computes exactly what ours does.

    Raises SpecError that names the first option in the way.
    """
    for_llama, for_gpt2 = _llama_misfits(spec), _gpt2_misfits(spec)
    if not for_llama:
        only_qkv = spec.qkv_bias and not spec.attention_output_bias and not spec.mlp_bias
        return "qwen2" if only_qkv else "llama"
    if not for_gpt2:
        return "gpt2"
    nearest, fields = (
        ("Llama", for_llama) if len(for_llama) <= len(for_gpt2) else ("GPT-2", for_gpt2)
    )
    what = ", ".join(_in_words(spec, field) for field in fields)
    raise SpecError(
        fields[0],
        f"Hugging Face has no model of this design: the nearest, {nearest}, cannot have {what}. "
        "Export it with --to torch instead",
    )


def _llama_misfits(spec: ModelSpec) -> list[str]:
    found = [
        field
        for field, wanted in (("position", "rope"), ("norm", "rmsnorm"), ("norm_position", "pre"))
        if getattr(spec, field) != wanted
    ]
    if spec.activation not in _LLAMA_ACTIVATIONS:
        found.append("activation")
    if spec.hidden_dim % spec.num_heads:
        found.append("head_dim")
    if spec.head_bias:
        found.append("head_bias")
    if spec.position == "rope" and spec.rope_scaling == "yarn" and not _yarn_agrees(spec):
        found.append("rope_scaling")
    return found


def _yarn_agrees(spec: ModelSpec) -> bool:
    """Whether transformers' ramp is ours: where its bounds cross, its stretching turns round."""
    low, high = yarn_ramp_bounds(spec)
    return spec.rope_theta > 1 and max(low, 0) <= min(high, spec.head_size - 1)


def _gpt2_misfits(spec: ModelSpec) -> list[str]:
    wanted = (("position", "learned"), ("norm", "layernorm"), ("norm_position", "pre"))
    found = [field for field, value in wanted if getattr(spec, field) != value]
    if spec.activation not in _GPT2_ACTIVATIONS:
        found.append("activation")
    if spec.num_kv_heads != spec.num_heads:
        found.append("num_kv_heads")
    if spec.num_heads * spec.head_size != spec.hidden_dim:
        found.append("head_dim")
    if spec.head_bias:
        found.append("head_bias")
    return found


def _in_words(spec: ModelSpec, field: str) -> str:
    parameter, value = model_parameters()[field], getattr(spec, field)
    if parameter.kind == "flag":
        return f"{parameter.label} ({field})"
    shown = parameter.choices[value] if parameter.choices else value
    return f"{parameter.label} {shown} ({field})"


def hf_config(spec: ModelSpec) -> dict[str, Any]:
    """The contents of config.json. Raises SpecError as ``hf_kind`` does."""
    kind = hf_kind(spec)
    return {
        **(_gpt2_config(spec) if kind == "gpt2" else _llama_config(spec, kind)),
        "model_type": kind,
        "vocab_size": spec.vocab_size,
        "initializer_range": spec.init_std,
        "tie_word_embeddings": spec.tied_embeddings,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "dtype": "float32",
        "use_cache": True,
    }


def _llama_config(spec: ModelSpec, kind: Kind) -> dict[str, Any]:
    own: dict[str, Any] = {"architectures": ["Qwen2ForCausalLM"], "use_sliding_window": False}
    if kind == "llama":
        own = {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": spec.qkv_bias or spec.attention_output_bias,
            "mlp_bias": spec.mlp_bias,
        }
    if spec.head_dim is not None:
        own["head_dim"] = spec.head_dim
    return {
        **own,
        "hidden_size": spec.hidden_dim,
        "intermediate_size": spec.mlp_dim,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_heads,
        "num_key_value_heads": spec.num_kv_heads,
        "hidden_act": _LLAMA_ACTIVATIONS[spec.activation],
        "max_position_embeddings": spec.max_seq_len,
        "rms_norm_eps": spec.norm_eps,
        "rope_theta": ntk_base(spec) if spec.rope_scaling == "ntk" else spec.rope_theta,
        "rope_scaling": _rope_scaling(spec),
        "attention_dropout": spec.dropout,
    }


def _rope_scaling(spec: ModelSpec) -> dict[str, Any] | None:
    """NTK-aware scaling is nothing but another base, and transformers has no word for it."""
    if spec.rope_scaling in ("none", "ntk"):
        return None
    scaling: dict[str, Any] = {"rope_type": spec.rope_scaling, "factor": spec.rope_factor}
    if spec.rope_scaling == "linear":
        return scaling
    scaling["original_max_position_embeddings"] = spec.original_seq_len
    if spec.rope_scaling == "llama3":
        return {
            **scaling,
            "low_freq_factor": LLAMA3_LOW_FREQ_FACTOR,
            "high_freq_factor": LLAMA3_HIGH_FREQ_FACTOR,
        }
    return {
        **scaling,
        "attention_factor": rope_attention_factor(spec),
        "beta_fast": YARN_FAST_ROTATIONS,
        "beta_slow": YARN_SLOW_ROTATIONS,
    }


def _gpt2_config(spec: ModelSpec) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "n_embd": spec.hidden_dim,
        "n_layer": spec.num_layers,
        "n_head": spec.num_heads,
        "n_inner": spec.mlp_dim,
        "n_positions": spec.max_seq_len,
        "activation_function": _GPT2_ACTIVATIONS[spec.activation],
        "layer_norm_epsilon": spec.norm_eps,
        "resid_pdrop": spec.dropout,
        "embd_pdrop": spec.dropout,
        "attn_pdrop": spec.dropout,
    }


def hf_generation_config(run: RunSpec, spec: ModelSpec) -> dict[str, Any]:
    """The contents of generation_config.json: to write as the run's samples were written."""
    chosen: dict[str, Any] = {"do_sample": False}
    if run.temperature > 0:
        chosen = {"do_sample": True, "temperature": run.temperature, "top_k": run.top_k}
    return {**chosen, "max_length": spec.max_seq_len}


def hf_weights(spec: ModelSpec, weights: Weights) -> Weights:
    """The weights by transformers' names, in its layout; biases that ours lacks are zeros."""
    kind = hf_kind(spec)
    if kind == "gpt2":
        return _gpt2_weights(spec, weights)
    renamed = dict(weights)
    if kind == "llama" and (spec.qkv_bias or spec.attention_output_bias):
        for layer in range(spec.num_layers):
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                stem = f"model.layers.{layer}.self_attn.{name}"
                renamed.setdefault(f"{stem}.bias", _no_bias(weights[f"{stem}.weight"]))
    return renamed


def _no_bias(weight: np.typing.NDArray[np.float32]) -> np.typing.NDArray[np.float32]:
    return np.zeros(weight.shape[0], dtype=np.float32)


def _gpt2_weights(spec: ModelSpec, weights: Weights) -> Weights:
    """GPT-2 keeps its linear weights transposed (in, out), and q, k and v as one."""
    found: Weights = {
        "transformer.wte.weight": weights["model.embed_tokens.weight"],
        "transformer.wpe.weight": weights["model.embed_positions.weight"],
        "transformer.ln_f.weight": weights["model.norm.weight"],
        "transformer.ln_f.bias": weights["model.norm.bias"],
    }
    if not spec.tied_embeddings:
        found["lm_head.weight"] = weights["lm_head.weight"]
    for layer in range(spec.num_layers):
        ours, theirs = f"model.layers.{layer}", f"transformer.h.{layer}"
        for our_norm, their_norm in (
            ("input_layernorm", "ln_1"),
            ("post_attention_layernorm", "ln_2"),
        ):
            for part in ("weight", "bias"):
                found[f"{theirs}.{their_norm}.{part}"] = weights[f"{ours}.{our_norm}.{part}"]
        for their_linear, our_linears in (
            ("attn.c_attn", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            ("attn.c_proj", ("self_attn.o_proj",)),
            ("mlp.c_fc", ("mlp.up_proj",)),
            ("mlp.c_proj", ("mlp.down_proj",)),
        ):
            matrices = [weights[f"{ours}.{name}.weight"] for name in our_linears]
            biases = [
                weights.get(f"{ours}.{name}.bias", _no_bias(matrix))
                for name, matrix in zip(our_linears, matrices, strict=True)
            ]
            joined = np.concatenate(matrices).T
            found[f"{theirs}.{their_linear}.weight"] = np.ascontiguousarray(joined)
            found[f"{theirs}.{their_linear}.bias"] = np.concatenate(biases)
    return found
