from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cost.cache import (
    CACHE_FORMATS,
    WEIGHT_FORMATS,
    inference_bytes,
    kv_cache_bytes,
    kv_cache_bytes_per_token,
    weight_bytes,
)
from engine.cost.parameters import count
from engine.presets import preset
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs

LLAMA = preset("llama-3-8b").model


@pytest.mark.parametrize(
    ("number_format", "expected"), [("bf16", 131_072), ("fp8", 65_536), ("4-bit", 36_864)]
)
def test_llama_3_keeps_128_kib_a_token(number_format: str, expected: int) -> None:
    """In 4 bits 4.5 for each number: the scales count."""
    assert kv_cache_bytes_per_token(LLAMA, number_format) == expected


def test_grouped_queries_shrink_it_in_proportion() -> None:
    full = kv_cache_bytes_per_token(LLAMA.replace(num_kv_heads=32))
    assert full == 4 * kv_cache_bytes_per_token(LLAMA)


def test_a_paged_cache_ends_in_a_page_that_is_partly_empty() -> None:
    each = kv_cache_bytes_per_token(LLAMA)
    assert kv_cache_bytes(LLAMA, 17, 3) == 3 * 17 * each
    assert kv_cache_bytes(LLAMA, 17, 3, paged=True) == 3 * 32 * each
    assert kv_cache_bytes(LLAMA, 32, paged=True) == 32 * each


def test_weights_in_16_bits_are_two_bytes_each() -> None:
    assert weight_bytes(LLAMA, "bf16") == 2 * 8_030_261_248
    assert weight_bytes(LLAMA, "fp32") == 4 * 8_030_261_248


def test_int8_has_a_scale_for_each_row_and_leaves_the_rest_in_16_bits() -> None:
    tiny = ModelSpec(hidden_dim=32, num_layers=3, num_heads=1, num_kv_heads=1, mlp_dim=64,
                     activation="relu", vocab_size=10)  # fmt: skip
    matrices, rows = 4 * 32 * 32 + 2 * 32 * 64, 4 * 32 + 64 + 32
    rest = count(tiny).total - 3 * matrices
    assert weight_bytes(tiny, "int8") == 3 * (matrices + 4 * rows) + 2 * rest


def test_llama_3_in_nf4_takes_4_127_bits_for_each_number_of_its_blocks() -> None:
    """QLoRA's paper: double quantization leaves 0.127 bits a parameter for the scales."""
    blocks = 32 * (41_943_040 + 176_160_768)
    rest = 8_030_261_248 - blocks
    quantized = weight_bytes(LLAMA, "nf4") - 2 * rest
    assert 8 * quantized / blocks == pytest.approx(4.127, abs=5e-4)
    assert weight_bytes(LLAMA, "nf4") < 6 << 30  # 8B on a card of 16 GB leaves 10


def test_inference_is_weights_and_cache() -> None:
    expected = 2 * 8_030_261_248 + 131_072 * 8_192 * 3
    assert inference_bytes(LLAMA, 8_192, batch_size=3) == expected
    small = inference_bytes(LLAMA, 8_192, weight_format="nf4", cache_format="fp8")
    assert small == weight_bytes(LLAMA, "nf4") + 65_536 * 8_192


@given(model_specs(), st.integers(1, 100))
def test_fewer_bits_never_take_more_but_for_scales_of_tiny_rows(
    spec: ModelSpec, context: int
) -> None:
    assert weight_bytes(spec, "fp32") == 2 * weight_bytes(spec, "bf16") == 4 * count(spec).total
    assert kv_cache_bytes(spec, context) == 2 * kv_cache_bytes(spec, context, 1, "fp8")
    assert set(WEIGHT_FORMATS) == {"fp32", "bf16", "int8", "nf4"}
    for number_format in WEIGHT_FORMATS:
        assert weight_bytes(spec, number_format) > 0
    for number_format in CACHE_FORMATS:
        assert kv_cache_bytes(spec, context, 2, number_format) == 2 * kv_cache_bytes(
            spec, context, 1, number_format
        )
