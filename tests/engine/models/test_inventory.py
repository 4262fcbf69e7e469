"""The accounting and the modules speak of the same weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from engine.families import decoder as family
from engine.families.weight import expand
from engine.models.decoder import build
from engine.parameter import SpecError
from engine.spec import ModelSpec, check
from tests.engine.models.designs import tiny, valid_specs


@settings(max_examples=500)
@given(valid_specs())
def test_every_weight_of_the_inventory_is_in_the_module_by_name_shape_and_order(
    spec: ModelSpec,
) -> None:
    check(spec)
    model = build(spec, device="meta")
    listed = list(expand(family.weights(spec)))
    assert [(name, tuple(p.shape)) for name, p in model.named_parameters()] == listed
    assert [(name, tuple(t.shape)) for name, t in model.state_dict().items()] == listed
    assert list(model.buffers()) == []
    total = sum(weight.count for weight in family.weights(spec))
    assert sum(p.numel() for p in model.parameters()) == total


@settings(max_examples=60)
@given(valid_specs(max_layers=2))
def test_any_valid_design_reads_a_full_context_and_learns_from_it(spec: ModelSpec) -> None:
    model = build(spec)
    inputs_BT = torch.randint(spec.vocab_size, (2, spec.max_seq_len))
    logits_BTV = model(inputs_BT).logits_BTV
    assert logits_BTV.shape == (2, spec.max_seq_len, spec.vocab_size)
    model(inputs_BT, inputs_BT).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize(
    ("spec", "total"),
    [
        (ModelSpec(), 5_180_672),
        (ModelSpec(tied_embeddings=False), 5_246_208),
        (ModelSpec(vocab_size=65), 5_131_776),
        (ModelSpec(activation="gelu"), 4_001_024),
    ],
)
def test_nano_trickster_has_the_parameters_it_is_known_for(spec: ModelSpec, total: int) -> None:
    assert sum(p.numel() for p in build(spec, device="meta").parameters()) == total


def test_gpt2_has_the_parameters_it_is_known_for() -> None:
    gpt2 = ModelSpec(
        hidden_dim=768, num_layers=12, num_heads=12, num_kv_heads=12, mlp_dim=3072,
        max_seq_len=1024, vocab_size=50_257, activation="gelu", norm="layernorm",
        position="learned", qkv_bias=True, attention_output_bias=True, mlp_bias=True,
    )  # fmt: skip
    assert sum(p.numel() for p in build(gpt2, device="meta").parameters()) == 124_439_808


def test_a_design_that_cannot_be_built_is_refused_by_its_field() -> None:
    with pytest.raises(SpecError, match="16 is not divisible by 5 heads") as caught:
        build(tiny(num_heads=5, num_kv_heads=5))
    assert caught.value.field == "num_heads"
