"""Attention against attention written out here by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from engine.alibi import alibi_slopes
from engine.models.attention import CausalSelfAttention, look_around
from engine.models.decoder import build
from engine.rotary import rope_frequencies
from engine.spec import ModelSpec
from tests.engine.models.designs import HEADS, PLACEMENTS, POSITIONS, tiny


def turned(x_h: Tensor, position: int, spec: ModelSpec) -> Tensor:
    """One vector turned pair by pair, the way the RoPE paper writes it."""
    half = x_h.shape[0] // 2
    out_h = x_h.clone()
    for i, frequency in enumerate(rope_frequencies(spec)):
        angle = position * frequency
        a, b = x_h[i], x_h[i + half]
        out_h[i] = a * math.cos(angle) - b * math.sin(angle)
        out_h[i + half] = a * math.sin(angle) + b * math.cos(angle)
    return out_h


def by_hand(attention: CausalSelfAttention, x_TD: Tensor, spec: ModelSpec) -> tuple[Tensor, Tensor]:
    """Output (T, D) and weights (H, T, T), one head and one token at a time."""
    count, h = x_TD.shape[0], spec.head_size
    q_TE, k_TE, v_TE = attention.q_proj(x_TD), attention.k_proj(x_TD), attention.v_proj(x_TD)
    heads, maps = [], torch.zeros(spec.num_heads, count, count, dtype=x_TD.dtype)
    for head in range(spec.num_heads):
        kv = head // (spec.num_heads // spec.num_kv_heads)
        q_Th, k_Th = q_TE[:, head * h : (head + 1) * h], k_TE[:, kv * h : (kv + 1) * h]
        v_Th = v_TE[:, kv * h : (kv + 1) * h]
        if spec.position == "rope":
            q_Th = torch.stack([turned(q_Th[t], t, spec) for t in range(count)])
            k_Th = torch.stack([turned(k_Th[t], t, spec) for t in range(count)])
        rows = []
        for t in range(count):
            scores = torch.stack([q_Th[t] @ k_Th[s] / math.sqrt(h) for s in range(t + 1)])
            if spec.position == "alibi":
                distance = torch.arange(t, -1, -1)
                scores = scores - alibi_slopes(spec.num_heads)[head] * distance
            weights = torch.exp(scores) / torch.exp(scores).sum()
            maps[head, t, : t + 1] = weights
            rows.append(weights @ v_Th[: t + 1])
        heads.append(torch.stack(rows))
    out_TD: Tensor = attention.o_proj(torch.cat(heads, dim=-1))
    return out_TD, maps


@pytest.mark.parametrize("explicit", [None, 6])
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("position", POSITIONS)
def test_it_is_the_attention_of_the_papers(position: str, heads: str, explicit: int | None) -> None:
    num_heads, num_kv_heads = HEADS[heads]
    spec = tiny(
        position=position, num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=explicit,
        qkv_bias=True, attention_output_bias=True,
    )  # fmt: skip
    attention = build(spec, dtype=torch.float64).model.layers[1].self_attn
    with torch.no_grad():
        for bias in (attention.q_proj.bias, attention.k_proj.bias, attention.o_proj.bias):
            bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
        x_BTD = torch.randn(2, 9, 16, dtype=torch.float64, generator=torch.Generator())
        around = look_around(spec, torch.arange(9), 0, torch.float64)
        out_BTD, weights_BHTT = attention(x_BTD, around), attention.weights(x_BTD, around)
        for b in range(2):
            expected_TD, expected_HTT = by_hand(attention, x_BTD[b], spec)
            torch.testing.assert_close(out_BTD[b], expected_TD, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(weights_BHTT[b], expected_HTT.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("position", POSITIONS)
def test_attention_maps_are_the_weights_that_the_model_really_uses(
    position: str, heads: str, placement: str
) -> None:
    """Values averaged by the map of a layer are what that layer's fused attention gives."""
    num_heads, num_kv_heads = HEADS[heads]
    spec = tiny(
        position=position, num_heads=num_heads, num_kv_heads=num_kv_heads, norm_position=placement,
        dropout=0.3,
    )  # fmt: skip
    model = build(spec)
    tokens_BT = torch.randint(spec.vocab_size, (2, 10), generator=torch.Generator())
    seen: dict[str, Tensor] = {}
    attention = model.model.layers[1].self_attn
    handle = attention.register_forward_hook(
        lambda module, args, out: seen.update(x_BTD=args[0], out_BTD=out)
    )
    assert model.training
    maps_BHTT = model.attention_maps(tokens_BT, 1)
    assert model.training  # dropout was off and is back on
    with torch.no_grad():
        model.eval()(tokens_BT)
        v_BTE = attention.v_proj(seen["x_BTD"])
        v_BKTh = v_BTE.unflatten(-1, (-1, spec.head_size)).transpose(1, 2)
        heads_BHTh = maps_BHTT @ attention.share(v_BKTh)
        out_BTD = attention.o_proj(heads_BHTh.transpose(1, 2).flatten(2))
    handle.remove()
    torch.testing.assert_close(out_BTD, seen["out_BTD"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps_BHTT.sum(-1), torch.ones(2, num_heads, 10))
    assert (maps_BHTT.triu(1) == 0).all()
    assert (maps_BHTT.tril() >= 0).all()


def test_a_layer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no layer 2: the last is 1"):
        build(tiny()).attention_maps(torch.zeros(1, 1, dtype=torch.long), 2)


def test_grouped_heads_give_each_query_head_its_own_groups_keys() -> None:
    """With K = H / 2 and the shared keys written out twice, GQA is MHA."""
    grouped = build(tiny(num_kv_heads=2))
    whole = build(tiny(num_kv_heads=4))
    h = grouped.spec.head_size
    state = grouped.state_dict()
    for name, weight in state.items():
        if "k_proj" in name or "v_proj" in name:
            state[name] = weight.unflatten(0, (2, h)).repeat_interleave(2, dim=0).flatten(0, 1)
    whole.load_state_dict(state)
    tokens_BT = torch.randint(11, (2, 12), generator=torch.Generator())
    torch.testing.assert_close(whole(tokens_BT).logits_BTV, grouped(tokens_BT).logits_BTV)
