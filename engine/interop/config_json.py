"""Published models' config.json, for those whose weights our decoder represents exactly.

Anything else is refused by name: a close count would be a wrong count.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.parameter import SpecError, Value, show
from engine.spec import ModelSpec, check, model_parameters

Config = Mapping[str, object]

# Why a known kind of model is not a decoder of ours.
_REFUSED = {
    "bert": "it is an encoder with segment embeddings and a pooler",
    "distilbert": "it is an encoder",
    "roberta": "it is an encoder",
    "bloom": "it normalizes its embeddings with one more LayerNorm",
    "falcon": "attention and feed-forward run in parallel on one norm",
    "gemma2": "each block has four norms",
    "gemma3": "each block has four norms, and queries and keys are normalized",
    "gemma3_text": "each block has four norms, and queries and keys are normalized",
    "gpt_neox": "attention and feed-forward run in parallel, with rotary positions on a part only",
    "gptj": "attention and feed-forward run in parallel on one norm",
    "mamba": "it is a state-space model",
    "mamba2": "it is a state-space model",
    "mixtral": "it is a mixture of experts",
    "mpt": "its LayerNorms have no bias",
    "olmo": "its norms have no weights",
    "olmo2": "queries and keys are normalized",
    "opt": "its position table has two extra rows",
    "phi": "attention and feed-forward run in parallel on one norm",
    "qwen2_moe": "it is a mixture of experts",
    "qwen3": "queries and keys are normalized",
    "qwen3_moe": "it is a mixture of experts",
    "rwkv": "it is a recurrent model",
    "t5": "it is an encoder and a decoder with cross-attention",
}
SUPPORTED = ("llama", "mistral", "qwen2", "gemma", "gpt2")
_GATED = {
    "silu": "swiglu", "swish": "swiglu", "gelu": "geglu", "gelu_new": "geglu",
    "gelu_pytorch_tanh": "geglu",
}  # fmt: skip
_PLAIN = {"gelu": "gelu", "gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "relu": "relu"}
_TANH_GELU = ("gelu_new", "gelu_pytorch_tanh")
_SCALINGS = {"linear": "linear", "yarn": "yarn", "llama3": "llama3"}
# Present and true (or more than one), each of these adds or shares weights in ways of its own.
_FOREIGN = {
    "num_local_experts": "a mixture of experts",
    "num_experts": "a mixture of experts",
    "n_routed_experts": "a mixture of experts",
    "qk_layernorm": "normalized queries and keys",
    "use_qk_norm": "normalized queries and keys",
    "parallel_attn": "attention and feed-forward in parallel",
    "use_parallel_residual": "attention and feed-forward in parallel",
    "add_cross_attention": "cross-attention",
    "is_encoder_decoder": "an encoder",
    "q_lora_rank": "low-rank attention",
    "kv_lora_rank": "low-rank attention",
}
_OTHER_HEADS = ("Classification", "QuestionAnswering", "DoubleHeads")


def from_config(config: Config) -> ModelSpec:
    """The design that a config.json describes; its count is exact.

    Raises SpecError for a kind of model or an option that our decoder does not represent, and
    for values that make no sense.
    """
    kind = _kind(config)
    _refuse_foreign(config, kind)
    values = _gpt2(config) if kind == "gpt2" else _llama_like(config, kind)
    return check(ModelSpec(**values))  # type: ignore[arg-type]


def differences(config: Config) -> tuple[str, ...]:
    """What the published model computes otherwise than ours, with the same weights.

    Nothing here changes a count; memory and FLOPs are those of our own decoder.
    """
    kind = _kind(config)
    found = []
    window = config.get("sliding_window")
    if window is not None and config.get("use_sliding_window", True):
        found.append(f"attention looks back {_brief(window)} tokens at most (sliding window)")
    if config.get(_activation_key(config, kind), "") in _TANH_GELU:
        found.append("GELU is its tanh approximation")
    if kind == "gemma":
        found.append("embeddings are multiplied by √hidden and norms scale by 1 + weight")
    rope = "default" if kind == "gpt2" else _rope_type(config)  # GPT-2's positions are learned
    if rope not in ("default", *_SCALINGS):
        found.append(f"rotary scaling of the kind {_brief(rope)} is left out")
    unknown = ("scale_attn_by_inverse_layer_idx", "attn_logit_softcapping")
    return (*found, *(f"{key} is left out" for key in unknown if config.get(key)))


def _kind(config: Config) -> str:
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise SpecError("model_type", "a config.json names its kind of model here; this one is not")
    if kind in SUPPORTED:
        return kind
    why = _REFUSED.get(kind)
    reason = f": {why}" if why else ""
    raise SpecError(
        "model_type",
        f"{kind[:40]!r} is not a decoder that Trickster can represent exactly{reason} "
        f"(it can: {', '.join(SUPPORTED)})",
    )


def _refuse_foreign(config: Config, kind: str) -> None:
    for key, what in _FOREIGN.items():
        value = config.get(key)
        if value is True or (not isinstance(value, bool) and isinstance(value, int) and value > 1):
            raise SpecError(key, f"this {kind} has {what}, which Trickster does not represent")
    names = config.get("architectures")
    for name in names if isinstance(names, list) else ():
        if any(head in str(name) for head in _OTHER_HEADS):
            raise SpecError(
                "architectures", f"{str(name)[:60]} has another head than a language model's"
            )


def _llama_like(config: Config, kind: str) -> dict[str, Value]:
    heads = _value(config, "num_attention_heads", "num_heads")
    attention_bias = _flag(config, "attention_bias", False)
    gemma_head = 256 if kind == "gemma" else None
    values: dict[str, Value] = {
        "hidden_dim": _value(config, "hidden_size", "hidden_dim"),
        "num_layers": _value(config, "num_hidden_layers", "num_layers"),
        "num_heads": heads,
        "num_kv_heads": _value(config, "num_key_value_heads", "num_kv_heads", heads),
        "head_dim": _value(config, "head_dim", "head_dim", gemma_head),
        "mlp_dim": _value(config, "intermediate_size", "mlp_dim"),
        "max_seq_len": _value(config, "max_position_embeddings", "max_seq_len"),
        "vocab_size": _value(config, "vocab_size", "vocab_size"),
        "norm": "rmsnorm",
        "norm_eps": _value(config, "rms_norm_eps", "norm_eps", 1e-6),
        "activation": _activation(config, kind, _GATED),
        "qkv_bias": True if kind == "qwen2" else attention_bias,
        "attention_output_bias": False if kind == "qwen2" else attention_bias,
        "mlp_bias": _flag(config, "mlp_bias", False),
        "tied_embeddings": _flag(config, "tie_word_embeddings", kind == "gemma"),
        "init_std": _value(config, "initializer_range", "init_std", 0.02),
        "dropout": 0.0,
    }
    return values | _rotary(config)


def _gpt2(config: Config) -> dict[str, Value]:
    width = _value(config, "n_embd", "hidden_dim")
    assert isinstance(width, int)
    heads = _value(config, "n_head", "num_heads")
    return {
        "hidden_dim": width,
        "num_layers": _value(config, "n_layer", "num_layers"),
        "num_heads": heads,
        "num_kv_heads": heads,
        "head_dim": None,
        "mlp_dim": _value(config, "n_inner", "mlp_dim", 4 * width),
        "max_seq_len": _value(config, "n_positions", "max_seq_len"),
        "vocab_size": _value(config, "vocab_size", "vocab_size"),
        "position": "learned",
        "norm": "layernorm",
        "norm_eps": _value(config, "layer_norm_epsilon", "norm_eps", 1e-5),
        "activation": _activation(config, "gpt2", _PLAIN),
        "qkv_bias": True,
        "attention_output_bias": True,
        "mlp_bias": True,
        "tied_embeddings": _flag(config, "tie_word_embeddings", True),
        "init_std": _value(config, "initializer_range", "init_std", 0.02),
        "dropout": _value(config, "resid_pdrop", "dropout", 0.1),
    }


def _rotary(config: Config) -> dict[str, Value]:
    """RoPE's base and scaling, from either of the two places where they have stood."""
    rope = _rope_settings(config)
    if (
        rope.get("partial_rotary_factor", 1.0) != 1.0
        or config.get("partial_rotary_factor", 1.0) != 1.0
    ):
        raise SpecError("partial_rotary_factor", "rotary positions on a part of each head only")
    base = rope if "rope_theta" in rope else config
    values: dict[str, Value] = {
        "position": "rope",
        "rope_theta": _value(base, "rope_theta", "rope_theta", 10_000.0),
    }
    scaling = _SCALINGS.get(_rope_type(config))
    if scaling is not None:
        values["rope_scaling"] = scaling
        values["rope_factor"] = _value(rope, "factor", "rope_factor")
        values["rope_original_seq_len"] = _value(
            rope, "original_max_position_embeddings", "rope_original_seq_len", None
        )
    return values


def _rope_settings(config: Config) -> Config:
    for key in ("rope_parameters", "rope_scaling"):
        settings = config.get(key)
        if isinstance(settings, Mapping):
            return settings
        if settings is not None:
            raise SpecError(key, f"{_brief(settings)} is not a set of settings")
    return {}


def _rope_type(config: Config) -> str:
    settings = _rope_settings(config)
    kind = settings.get("rope_type", settings.get("type", "default"))
    if not isinstance(kind, str):
        raise SpecError("rope_type", f"{_brief(kind)} is not a kind of rotary scaling")
    return kind


def _activation_key(config: Config, kind: str) -> str:
    if kind == "gpt2":
        return "activation_function"
    # Gemma's own setting came later than the general one, and wins.
    return "hidden_activation" if config.get("hidden_activation") is not None else "hidden_act"


def _activation(config: Config, kind: str, known: Mapping[str, str]) -> str:
    key = _activation_key(config, kind)
    default = {"gpt2": "gelu_new", "gemma": "gelu_pytorch_tanh"}.get(kind, "silu")
    name = config.get(key, default)
    if not isinstance(name, str) or name not in known:
        raise SpecError(key, f"{_brief(name)} is not an activation of Trickster's {kind}")
    return known[name]


_MISSING = object()


def _value(config: Config, key: str, field: str, default: object = _MISSING) -> Value:
    """``config[key]`` checked as our ``field``; a null or missing one takes the default."""
    value = config.get(key)
    if value is None:
        if default is _MISSING:
            raise SpecError(key, "is missing from this config.json")
        value = default
    parameter = model_parameters()[field]
    try:
        return parameter.check(value)  # type: ignore[arg-type]
    except SpecError as error:
        raise SpecError(key, error.message) from error


def _flag(config: Config, key: str, default: bool) -> bool:
    value = config.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise SpecError(key, f"{_brief(value)} is neither true nor false")
    return value


def _brief(value: object) -> str:
    return show(value) if isinstance(value, (int, float, str)) else type(value).__name__
