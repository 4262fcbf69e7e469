from __future__ import annotations

import pytest
from hypothesis import given

from engine.cost.cache import inference_bytes, kv_cache_bytes_per_token, weight_bytes
from engine.cost.parameters import count
from engine.presets import preset
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs

LLAMA = preset("llama-3-8b").model


@pytest.mark.parametrize(("bits", "expected"), [(16, 131_072), (8, 65_536), (4, 32_768)])
def test_llama_3_keeps_128_kib_a_token(bits: int, expected: int) -> None:
    assert kv_cache_bytes_per_token(LLAMA, bits) == expected


def test_grouped_queries_shrink_it_in_proportion() -> None:
    full = kv_cache_bytes_per_token(LLAMA.replace(num_kv_heads=32))
    assert full == 4 * kv_cache_bytes_per_token(LLAMA)


def test_weights_in_16_bits_are_two_bytes_each() -> None:
    assert weight_bytes(LLAMA, 16) == 2 * 8_030_261_248
    assert weight_bytes(ModelSpec(), 4) == 5_180_672 // 2


def test_inference_is_weights_and_cache() -> None:
    expected = 2 * 8_030_261_248 + 131_072 * 8_192 * 3
    assert inference_bytes(LLAMA, 8_192, batch_size=3) == expected


@given(model_specs())
def test_odd_numbers_of_small_numbers_are_rounded_up(spec: ModelSpec) -> None:
    assert weight_bytes(spec, 4) * 2 - count(spec).total in (0, 1)
    assert kv_cache_bytes_per_token(spec, 16) == 2 * kv_cache_bytes_per_token(spec, 8)
