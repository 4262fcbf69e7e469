"""Our models in Hugging Face's words. Where transformers is installed, its logits are ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given

from engine.data.tokenizers.byte import ByteTokenizer
from engine.interop.config_json import from_config
from engine.interop.export_folder import export_run
from engine.interop.export_hf import hf_config, hf_generation_config, hf_kind, hf_weights
from engine.interop.run_weights import Weights
from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.interop.trained_run import make_model, make_run
from tests.engine.models.designs import tiny, valid_specs

LLAMA = tiny(hidden_dim=32, vocab_size=40, max_seq_len=48)
GPT2 = LLAMA.replace(
    position="learned", norm="layernorm", activation="gelu", qkv_bias=True,
    attention_output_bias=True, mlp_bias=True,
)  # fmt: skip
DESIGNS: dict[str, tuple[str, ModelSpec]] = {
    "plain": ("llama", LLAMA),
    "grouped": ("llama", LLAMA.replace(num_kv_heads=2)),
    "geglu, untied": ("llama", LLAMA.replace(activation="geglu", tied_embeddings=False)),
    "wide heads": ("llama", LLAMA.replace(head_dim=12)),
    "output bias": ("llama", LLAMA.replace(attention_output_bias=True)),
    "all biases": (
        "llama", LLAMA.replace(attention_output_bias=True, qkv_bias=True, mlp_bias=True)
    ),
    "linear": ("llama", LLAMA.replace(rope_scaling="linear", rope_factor=4.0)),
    "ntk": ("llama", LLAMA.replace(rope_scaling="ntk", rope_factor=4.0)),
    "yarn": ("llama", LLAMA.replace(rope_scaling="yarn", rope_factor=4.0, head_dim=32)),
    "llama3": ("llama", LLAMA.replace(rope_scaling="llama3", rope_factor=4.0)),
    "query bias": ("qwen2", LLAMA.replace(qkv_bias=True, num_kv_heads=1)),
    "gpt2": ("gpt2", GPT2),
    "gpt2, untied, relu": ("gpt2", GPT2.replace(tied_embeddings=False, activation="relu")),
    "gpt2 without biases": (
        "gpt2", GPT2.replace(qkv_bias=False, attention_output_bias=False, mlp_bias=False)
    ),
}  # fmt: skip


def arrays(spec: ModelSpec) -> Weights:
    return {name: p.detach().numpy() for name, p in make_model(spec).named_parameters()}


@pytest.mark.leaves_behind("torch makes a folder for compiled code when transformers is loaded")
@pytest.mark.parametrize("name", DESIGNS)
def test_transformers_computes_the_same_logits(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()  # its bars start a thread that stays
    kind, spec = DESIGNS[name]
    (tmp_path / "config.json").write_text(json.dumps(hf_config(spec)))
    weights = hf_weights(spec, arrays(spec))
    metadata = {"format": "pt"}
    safetensors.numpy.save_file(weights, tmp_path / "model.safetensors", metadata=metadata)
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert theirs.config.model_type == kind
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    tokens_BT = torch.randint(spec.vocab_size, (2, spec.max_seq_len), generator=torch.Generator())
    with torch.no_grad():
        expected = make_model(spec)(tokens_BT).logits_BTV
        torch.testing.assert_close(theirs.eval()(tokens_BT).logits, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", DESIGNS)
def test_the_kind_is_the_one_that_fits(name: str) -> None:
    kind, spec = DESIGNS[name]
    assert hf_kind(spec) == kind
    assert hf_config(spec)["model_type"] == kind


READ_BACK = (
    "plain", "grouped", "geglu, untied", "wide heads", "all biases", "linear", "query bias", "gpt2",
    "gpt2, untied, relu",
)  # fmt: skip


@pytest.mark.parametrize("name", READ_BACK)
def test_reading_the_config_back_gives_the_design(name: str) -> None:
    spec = DESIGNS[name][1]
    again = from_config(hf_config(spec))
    assert again == spec.replace(dropout=again.dropout, rope_factor=again.rope_factor,
                                 rope_original_seq_len=again.rope_original_seq_len)  # fmt: skip


def test_ntk_is_written_as_the_base_that_it_is() -> None:
    config = hf_config(LLAMA.replace(rope_scaling="ntk", rope_factor=4.0))
    assert config["rope_scaling"] is None
    assert config["rope_theta"] == pytest.approx(10_000 * 4 ** (8 / 6))


def test_gpt2s_weights_are_transposed_and_joined() -> None:
    """Computed here the way GPT-2's own layers do: x @ weight + bias."""
    ours = arrays(GPT2)
    theirs = hf_weights(GPT2, ours)
    x = np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32)
    joined = x @ theirs["transformer.h.1.attn.c_attn.weight"]
    joined = joined + theirs["transformer.h.1.attn.c_attn.bias"]
    for name, part in zip("qkv", np.split(joined, 3, axis=1), strict=True):
        stem = f"model.layers.1.self_attn.{name}_proj"
        expected = x @ ours[f"{stem}.weight"].T + ours[f"{stem}.bias"]
        np.testing.assert_allclose(part, expected, rtol=1e-4, atol=1e-5)
    for name, stem in (("c_fc", "up_proj"), ("c_proj", "down_proj")):
        weight = theirs[f"transformer.h.0.mlp.{name}.weight"]
        assert np.array_equal(weight.T, ours[f"model.layers.0.mlp.{stem}.weight"])
        assert weight.flags.c_contiguous  # a view would be written to the file as it was


def test_biases_that_ours_lacks_are_written_as_zeros() -> None:
    spec = LLAMA.replace(attention_output_bias=True)
    theirs = hf_weights(spec, arrays(spec))
    assert not theirs["model.layers.1.self_attn.v_proj.bias"].any()
    assert theirs["model.layers.1.self_attn.o_proj.bias"].any()


@pytest.mark.parametrize(
    ("spec", "change", "said"),
    [
        (LLAMA, {"position": "alibi"}, "Positions ALiBi"),
        (LLAMA, {"position": "none"}, "Positions None"),
        (LLAMA, {"norm": "layernorm"}, "Normalization LayerNorm"),
        (LLAMA, {"norm_position": "post"}, "Norm placement After"),
        (LLAMA, {"activation": "relu"}, "Activation ReLU"),
        (LLAMA, {"head_bias": True}, "Output head bias"),
        (GPT2, {"position": "sinusoidal"}, "Positions Sinusoidal"),
        (GPT2, {"num_kv_heads": 2}, "Key/value heads 2"),
        (GPT2, {"head_dim": 12}, "Head size 12"),
        (GPT2, {"activation": "swiglu"}, "Activation SwiGLU"),
    ],
)  # fmt: skip
def test_what_no_kind_represents_is_refused_by_its_name(
    spec: ModelSpec, change: dict[str, Value], said: str
) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        hf_config(spec.replace(**change))
    assert caught.value.field == next(iter(change))
    assert "--to torch" in caught.value.message


@given(valid_specs(max_layers=2))
def test_any_design_is_exported_whole_or_refused(spec: ModelSpec) -> None:
    try:
        config = hf_config(spec)
    except SpecError:
        return
    json.dumps(config, allow_nan=False)
    ours = arrays(spec)
    total = sum(weight.size for weight in ours.values())
    theirs = hf_weights(spec, ours)
    added = [weight for weight in theirs.values() if weight.ndim == 1 and not weight.any()]
    assert sum(weight.size for weight in theirs.values()) - sum(a.size for a in added) == total


def test_the_folder_holds_everything(tmp_path: Path) -> None:
    spec = LLAMA.replace(vocab_size=256)
    run = make_run(tmp_path / "run", {5: make_model(spec)}, ByteTokenizer())
    step, names = export_run(run, "hf", tmp_path / "deep" / "out")
    assert step == 5
    assert names == ("config.json", "generation_config.json", "model.safetensors",
                     "tokenizer.json", "tokenizer_config.json")  # fmt: skip
    generation: dict[str, Any] = json.loads(
        (tmp_path / "deep" / "out" / "generation_config.json").read_text()
    )
    assert generation == {"do_sample": True, "temperature": 0.7, "top_k": 5, "max_length": 48}


def test_a_run_that_samples_greedily_is_exported_greedy() -> None:
    assert hf_generation_config(RunSpec(temperature=0.0), LLAMA) == {
        "do_sample": False, "max_length": 48,
    }  # fmt: skip
