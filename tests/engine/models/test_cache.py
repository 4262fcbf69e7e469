"""Reading token by token with a cache gives what reading all at once gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.cache import KVCache
from engine.models.decoder import build
from engine.spec import ModelSpec
from tests.engine.models.designs import HEADS, POSITIONS, tiny, valid_specs


def assert_chunks_agree(spec: ModelSpec, chunks: list[int]) -> None:
    model = build(spec, dtype=torch.float64).eval()
    tokens_BT = torch.randint(
        spec.vocab_size, (2, sum(chunks)), generator=torch.Generator().manual_seed(3)
    )
    cache = KVCache(spec)
    with torch.no_grad():
        whole = model(tokens_BT).logits_BTV
        parts = [model(part, cache=cache).logits_BTV for part in tokens_BT.split(chunks, dim=1)]
    assert cache.length == sum(chunks)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("chunks", [[1] * 12, [5, 1, 1, 5], [12], [1, 11]])
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("position", POSITIONS)
def test_any_way_of_cutting_the_text_gives_the_same_logits(
    position: str, heads: str, chunks: list[int]
) -> None:
    num_heads, num_kv_heads = HEADS[heads]
    spec = tiny(position=position, num_heads=num_heads, num_kv_heads=num_kv_heads)
    assert_chunks_agree(spec, chunks)


@settings(max_examples=60)
@given(valid_specs(max_layers=2), st.data())
def test_any_valid_design_can_use_a_cache(spec: ModelSpec, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, spec.max_seq_len))
    assert_chunks_agree(spec, [n for n in (first, spec.max_seq_len - first) if n])


def test_a_cleared_cache_remembers_nothing() -> None:
    model = build(tiny()).eval()
    cache = KVCache(model.spec)
    text_BT = torch.arange(8)[None]
    with torch.no_grad():
        model(text_BT.flip(1), cache=cache)
        cache.clear()
        torch.testing.assert_close(
            model(text_BT, cache=cache).logits_BTV, model(text_BT).logits_BTV
        )


def test_a_full_cache_refuses_more() -> None:
    model = build(tiny()).eval()
    cache = KVCache(model.spec, capacity=4)
    with torch.no_grad():
        model(torch.zeros(1, 4, dtype=torch.long), cache=cache)
        with pytest.raises(ValueError, match="5 tokens do not fit the context of 4"):
            model(torch.zeros(1, 1, dtype=torch.long), cache=cache)


def test_it_holds_two_vectors_a_key_value_head_layer_and_token() -> None:
    spec = tiny(num_kv_heads=2)
    cache = KVCache(spec, capacity=100)
    assert cache.capacity == spec.max_seq_len
    with torch.no_grad():
        build(spec)(torch.zeros(1, 1, dtype=torch.long), cache=cache)
    held = sum(t.numel() for pair in cache._layers.values() for t in pair)
    assert held == 2 * spec.num_layers * 2 * spec.head_size * spec.max_seq_len
