from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cost.parameters import count
from engine.interop.config_json import SUPPORTED, differences, from_config
from engine.parameter import SpecError
from engine.spec import ModelSpec, problems

TINYLLAMA = {
    "model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 22, "num_attention_heads": 32,
    "num_key_value_heads": 4, "head_dim": 64, "intermediate_size": 5632, "vocab_size": 32000,
    "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "hidden_act": "silu",
    "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None,
    "n_positions": 1024, "vocab_size": 50257, "activation_function": "gelu_new",
    "tie_word_embeddings": True, "resid_pdrop": 0.1, "layer_norm_epsilon": 1e-5,
}  # fmt: skip
QWEN = {
    "model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
    "num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151936,
    "max_position_embeddings": 32768, "tie_word_embeddings": True, "use_sliding_window": False,
    "sliding_window": None, "hidden_act": "silu",
}  # fmt: skip
GEMMA = {
    "model_type": "gemma", "hidden_size": 2048, "num_hidden_layers": 18, "num_attention_heads": 8,
    "num_key_value_heads": 1, "head_dim": 256, "intermediate_size": 16384, "vocab_size": 256000,
    "max_position_embeddings": 8192, "tie_word_embeddings": True,
    "hidden_act": "gelu_pytorch_tanh",
}  # fmt: skip
MISTRAL = {
    "model_type": "mistral", "hidden_size": 4096, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 14336, "vocab_size": 32000, "max_position_embeddings": 131072,
    "sliding_window": 4096, "tie_word_embeddings": False, "hidden_act": "silu",
}  # fmt: skip
LLAMA3 = TINYLLAMA | {
    "hidden_size": 4096, "num_hidden_layers": 32, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 8192,
}  # fmt: skip
LLAMA32 = TINYLLAMA | {
    "hidden_size": 2048, "num_hidden_layers": 16, "num_key_value_heads": 8,
    "intermediate_size": 8192, "vocab_size": 128256, "max_position_embeddings": 131072,
    "tie_word_embeddings": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "total"),
    [
        (TINYLLAMA, 1_100_048_384),
        (LLAMA3, 8_030_261_248),
        (LLAMA32, 1_235_814_400),
        (MISTRAL, 7_241_732_096),
        (GPT2, 124_439_808),
        (GPT2 | {"n_embd": 1600, "n_layer": 48, "n_head": 25}, 1_557_611_200),
        (QWEN, 494_032_768),
        (GEMMA, 2_506_172_416),
    ],
    ids=["tinyllama", "llama-3-8b", "llama-3.2-1b", "mistral-7b", "gpt2", "gpt2-xl", "qwen2.5-0.5b",
         "gemma-2b"],
)  # fmt: skip
def test_published_models_to_the_last_parameter(config: dict[str, object], total: int) -> None:
    assert count(from_config(config)).total == total


@pytest.mark.parametrize(
    "kind",
    ["bert", "bloom", "falcon", "gemma2", "mamba", "mixtral", "mpt", "olmo", "opt", "phi",
     "gpt_neox", "qwen3", "rwkv", "t5"],
)  # fmt: skip
def test_what_the_decoder_does_not_represent_is_refused_by_name_and_reason(kind: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_config({"model_type": kind, "hidden_size": 64, "vocab_size": 100})
    assert kind in caught.value.message
    assert "exactly:" in caught.value.message


def test_an_unheard_of_kind_is_refused_with_what_can_be_read() -> None:
    with pytest.raises(SpecError, match="llama, mistral"):
        from_config({"model_type": "x" * 500})


@pytest.mark.parametrize(
    "change",
    [
        {"num_local_experts": 8}, {"qk_layernorm": True}, {"use_qk_norm": True},
        {"use_parallel_residual": True}, {"is_encoder_decoder": True}, {"kv_lora_rank": 512},
        {"architectures": ["LlamaForSequenceClassification"]}, {"partial_rotary_factor": 0.5},
        {"rope_parameters": {"partial_rotary_factor": 0.5}}, {"hidden_act": "relu2"},
    ],
)  # fmt: skip
def test_options_that_would_make_the_count_or_the_model_another_are_refused(
    change: dict[str, object],
) -> None:
    with pytest.raises(SpecError):
        from_config(TINYLLAMA | change)


def test_biases_and_null_defaults() -> None:
    spec = from_config(TINYLLAMA | {"attention_bias": True, "mlp_bias": True, "head_dim": None,
                                    "num_key_value_heads": None, "rms_norm_eps": None})  # fmt: skip
    assert (spec.qkv_bias, spec.attention_output_bias, spec.mlp_bias) == (True, True, True)
    assert (spec.num_kv_heads, spec.head_size, spec.norm_eps) == (32, 64, 1e-6)
    qwen = from_config(QWEN)
    assert (qwen.qkv_bias, qwen.attention_output_bias) == (True, False)
    assert from_config(GEMMA | {"head_dim": None}).head_size == 256


def test_rotary_settings_in_either_place() -> None:
    old = {key: value for key, value in TINYLLAMA.items() if key != "rope_parameters"}
    assert from_config(old | {"rope_theta": 5e5}).rope_theta == 5e5
    scaled = from_config(old | {"rope_scaling": {
        "rope_type": "llama3", "factor": 32.0, "original_max_position_embeddings": 1024,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    }})  # fmt: skip
    assert (scaled.rope_scaling, scaled.rope_factor, scaled.rope_original_seq_len) == (
        "llama3", 32.0, 1024,
    )  # fmt: skip
    assert from_config(old | {"rope_scaling": {"type": "linear", "factor": 2}}).rope_factor == 2.0
    dynamic = old | {"rope_scaling": {"type": "dynamic", "factor": 2}}
    assert from_config(dynamic).rope_scaling == "none"
    assert any("dynamic" in text for text in differences(dynamic))


def test_differences_are_told() -> None:
    assert differences(TINYLLAMA) == ()
    assert differences(MISTRAL) == ("attention looks back 4,096 tokens at most (sliding window)",)
    assert differences(QWEN) == ()
    assert "tanh" in differences(GPT2)[0]
    assert len(differences(GEMMA)) == 2
    assert differences(GPT2 | {"scale_attn_by_inverse_layer_idx": True})[-1].endswith("left out")


HOSTILE = [
    "4096", -1, 0, 1e400, float("nan"), True, [], {}, [[[]]], 10**400, 1.5, "", "\x00", 2**63,
]  # fmt: skip


@pytest.mark.parametrize("key", [key for key in TINYLLAMA if key != "model_type"])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:12])
def test_hostile_values_are_refused_or_make_a_valid_design(key: str, value: object) -> None:
    try:
        spec = from_config(TINYLLAMA | {key: value})
    except SpecError as error:
        message = str(error)
        spec = None
    if spec is None:
        assert len(message) < 500
    else:
        assert not problems(spec)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2)
    ),
    max_leaves=4,
)  # fmt: skip


@given(
    st.sampled_from((*SUPPORTED, "bert", None, 3)),
    st.dictionaries(
        st.sampled_from((*(TINYLLAMA | GPT2), "rope_scaling", "architectures")), JSON_VALUES
    ),
)
def test_no_config_whatever_ends_otherwise(kind: object, values: dict[str, object]) -> None:
    config = TINYLLAMA | GPT2 | values | {"model_type": kind}
    try:
        spec = from_config(config)
    except SpecError:
        return
    assert isinstance(spec, ModelSpec)
    differences(config)


@pytest.mark.parametrize("rotary", [[], 3, {"rope_type": "longrope"}])
def test_a_gpt2_has_no_rotary_positions_whatever_its_config_says(rotary: object) -> None:
    config = GPT2 | {"rope_parameters": rotary}
    assert from_config(config) == from_config(GPT2)
    assert differences(config) == differences(GPT2)


@pytest.mark.parametrize("config", [TINYLLAMA, GPT2, QWEN, GEMMA, MISTRAL])
def test_configs_survive_json(config: dict[str, object]) -> None:
    assert from_config(json.loads(json.dumps(config))) == from_config(config)
