"""The transformer as a whole: what it may see, how it starts, how it learns."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from engine.models.cache import KVCache
from engine.models.decoder import Decoder, build
from engine.spec import ModelSpec
from tests.engine.models.designs import ACTIVATIONS, HEADS, NORMS, PLACEMENTS, POSITIONS, tiny


def some_tokens(spec: ModelSpec, batch: int = 2, count: int | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(spec.vocab_size, (batch, count or spec.max_seq_len), generator=generator)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("position", POSITIONS)
def test_a_token_moves_its_own_logits_and_never_earlier_ones(
    position: str, heads: str, placement: str
) -> None:
    num_heads, num_kv_heads = HEADS[heads]
    spec = tiny(
        position=position, num_heads=num_heads, num_kv_heads=num_kv_heads, norm_position=placement
    )
    model = build(spec)
    tokens_BT = some_tokens(spec)
    with torch.no_grad():
        before = model(tokens_BT).logits_BTV
        for t in range(spec.max_seq_len):
            changed_BT = tokens_BT.clone()
            changed_BT[:, t] = (changed_BT[:, t] + 1) % spec.vocab_size
            after = model(changed_BT).logits_BTV
            assert torch.equal(after[:, :t], before[:, :t])
            assert (after[:, t] != before[:, t]).any(dim=-1).all()
            if t + 1 < spec.max_seq_len:  # and it is seen later
                assert (after[:, t + 1] != before[:, t + 1]).any()


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("position", POSITIONS)
def test_gradients_are_those_of_finite_differences(
    position: str, activation: str, norm: str, placement: str
) -> None:
    """Along a random direction of every single weight, in float64."""
    spec = tiny(
        position=position, activation=activation, norm=norm, norm_position=placement,
        num_kv_heads=2, qkv_bias=True, attention_output_bias=True, mlp_bias=True, head_bias=True,
        tied_embeddings=activation in ("gelu", "swiglu"), num_layers=1,
    )  # fmt: skip
    model = build(spec, dtype=torch.float64)
    inputs_BT, targets_BT = some_tokens(spec), some_tokens(spec).flip(0)
    model(inputs_BT, targets_BT).loss.backward()
    generator = torch.Generator().manual_seed(1)
    epsilon = 1e-6
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            start = parameter.clone()
            losses = []
            for sign in (1, -1):
                parameter.copy_(start + sign * epsilon * direction)
                losses.append(model(inputs_BT, targets_BT).loss.item())
            parameter.copy_(start)
            slope = (losses[0] - losses[1]) / (2 * epsilon)
            assert parameter.grad is not None
            expected = (parameter.grad * direction).sum().item()
            assert slope == pytest.approx(expected, rel=1e-4, abs=1e-7), name


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("norm", NORMS)
def test_the_first_loss_is_that_of_guessing(norm: str, tied: bool) -> None:
    spec = ModelSpec(
        hidden_dim=64, num_layers=3, num_heads=4, num_kv_heads=4, mlp_dim=128, max_seq_len=64,
        vocab_size=300, norm=norm, tied_embeddings=tied,
    )  # fmt: skip
    inputs_BT = some_tokens(spec, batch=8)
    loss = build(spec)(inputs_BT, inputs_BT.roll(-1, 1)).loss.item()
    assert loss == pytest.approx(math.log(300), abs=0.05)


def test_the_loss_is_the_mean_negative_log_probability_of_the_targets() -> None:
    spec = tiny()
    model = build(spec)
    inputs_BT, targets_BT = some_tokens(spec), some_tokens(spec).flip(0)
    output = model(inputs_BT, targets_BT)
    assert output.logits_BTV is None
    logs_BTV = model(inputs_BT).logits_BTV.log_softmax(-1)
    expected = -logs_BTV.gather(-1, targets_BT[..., None]).mean()
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_loss_is_computed_in_fp32_whatever_the_weights_are() -> None:
    spec = tiny()
    model = build(spec, dtype=torch.bfloat16)
    assert model(some_tokens(spec)).logits_BTV.dtype == torch.bfloat16
    assert model(some_tokens(spec), some_tokens(spec)).loss.dtype == torch.float32
    mixed = build(spec)
    with torch.autocast("cpu", torch.bfloat16):
        assert mixed(some_tokens(spec)).logits_BTV.dtype == torch.bfloat16
        assert mixed(some_tokens(spec), some_tokens(spec)).loss.dtype == torch.float32


@pytest.mark.leaves_behind("torch makes a folder for compiled code with its first optimizer")
def test_it_learns_a_text_by_heart() -> None:
    spec = tiny(init_std=0.02)
    model = build(spec)
    inputs_BT = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        loss = model(inputs_BT[:, :-1], inputs_BT[:, 1:]).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    predicted_BT = model(inputs_BT[:, :-1]).logits_BTV.argmax(-1)
    assert torch.equal(predicted_BT, inputs_BT[:, 1:])


def test_the_same_seed_gives_the_same_weights_and_leaves_global_randomness_alone() -> None:
    state = torch.get_rng_state()
    first = build(tiny(), seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    second, other = build(tiny(), seed=3), build(tiny(), seed=4)
    for (name, a), b, c in zip(
        first.named_parameters(), second.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b), name
        if a.ndim == 2:
            assert not torch.equal(a, c), name


def test_weights_start_as_the_recipe_says() -> None:
    spec = ModelSpec(
        hidden_dim=256, mlp_dim=512, num_layers=8, vocab_size=512, norm="layernorm",
        position="learned", qkv_bias=True, attention_output_bias=True, mlp_bias=True,
        head_bias=True, init_std=0.05,
    )  # fmt: skip
    for name, parameter in build(spec).named_parameters():
        if name.endswith(".bias"):
            assert (parameter == 0).all(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            expected = 0.05 / 4 if "o_proj" in name or "down_proj" in name else 0.05
            assert parameter.std().item() == pytest.approx(expected, rel=0.02), name
            assert abs(parameter.mean().item()) < 5 * expected / parameter.numel() ** 0.5, name


def test_bf16_weights_are_the_rounded_fp32_ones() -> None:
    for a, b in zip(
        build(tiny()).parameters(), build(tiny(), dtype=torch.bfloat16).parameters(), strict=True
    ):
        assert torch.equal(a.bfloat16(), b)


def test_a_tied_head_is_the_embedding_itself() -> None:
    tied, untied = build(tiny()), build(tiny(tied_embeddings=False))
    assert "lm_head.weight" not in tied.state_dict()
    assert "lm_head.weight" in untied.state_dict()
    assert tied.lm_head.weight is None
    tokens_BT = some_tokens(tied.spec)
    features_BTD = tied.model(tokens_BT, None, checkpointing=False)
    expected = features_BTD @ tied.model.embed_tokens.weight.mT
    torch.testing.assert_close(tied(tokens_BT).logits_BTV, expected)
    moved = copy.deepcopy(tied).to(torch.float64)  # survives a copy and a change of type
    assert moved.lm_head.weight is None


def test_post_norm_is_the_norm_of_the_sum_and_has_no_final_norm() -> None:
    spec = tiny(norm_position="post", num_layers=1, position="none")
    model = build(spec)
    assert not hasattr(model.model, "norm")
    tokens_BT = some_tokens(spec)
    x_BTD, around = model.model.embed(tokens_BT, 0)
    block = model.model.layers[0]
    y_BTD = block.input_layernorm(x_BTD + block.self_attn(x_BTD, around))
    expected = block.post_attention_layernorm(y_BTD + block.mlp(y_BTD))
    torch.testing.assert_close(model.model(tokens_BT, None, checkpointing=False), expected)
    assert expected.detach().square().mean(-1) == pytest.approx(1.0, abs=1e-3)


def test_dropout_acts_in_training_only() -> None:
    spec = tiny(dropout=0.5)
    model, plain = build(spec), build(tiny())
    tokens_BT = some_tokens(spec)
    torch.manual_seed(0)
    assert not torch.equal(model(tokens_BT).logits_BTV, model(tokens_BT).logits_BTV)
    model.eval()
    assert torch.equal(model(tokens_BT).logits_BTV, model(tokens_BT).logits_BTV)
    torch.testing.assert_close(model(tokens_BT).logits_BTV, plain(tokens_BT).logits_BTV)


@pytest.mark.parametrize("part", ["embedding", "attention", "residual"])
def test_dropout_is_where_gpt2_has_it(part: str) -> None:
    """With all weights but one path silenced, dropout there alone shows."""
    spec = tiny(dropout=0.5, num_layers=1, norm_position="post", activation="relu")
    model = build(spec)
    block = model.model.layers[0]
    tokens_BT = some_tokens(spec)
    torch.manual_seed(0)
    x_BTD, around = model.model.embed(tokens_BT, 0)
    if part == "embedding":
        share = (x_BTD == 0).float().mean().item()
    elif part == "attention":
        ones_BTD = torch.ones(2, spec.max_seq_len, spec.hidden_dim)
        first, second = (block.self_attn(ones_BTD, around) for _ in range(2))
        assert not torch.equal(first, second)
        return
    else:
        share = (block.drop(torch.ones(200, 50)) == 0).float().mean().item()
    assert share == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradient_checkpointing_changes_nothing_but_memory(dropout: float) -> None:
    spec = tiny(dropout=dropout)

    def gradients(checkpointing: bool) -> dict[str, torch.Tensor]:
        model = build(spec)
        model.gradient_checkpointing = checkpointing
        torch.manual_seed(5)
        model(some_tokens(spec), some_tokens(spec)).loss.backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    plain, checkpointed = gradients(False), gradients(True)
    assert plain.keys() == checkpointed.keys()
    for name, gradient in plain.items():
        assert torch.equal(gradient, checkpointed[name]), name


def test_gradient_checkpointing_keeps_fewer_activations() -> None:
    def saved_bytes(checkpointing: bool) -> int:
        model = build(tiny(num_layers=6))
        model.gradient_checkpointing = checkpointing
        kept: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = model(some_tokens(model.spec), some_tokens(model.spec)).loss
        total = sum(kept.values())
        loss.backward()
        return total

    assert saved_bytes(True) < 0.5 * saved_bytes(False)


def test_more_tokens_than_the_context_are_refused_in_plain_words() -> None:
    with pytest.raises(ValueError, match="13 tokens do not fit the context of 12"):
        build(tiny())(some_tokens(tiny(), count=13))


def test_last_only_gives_the_last_logits() -> None:
    model: Decoder = build(tiny())
    tokens_BT = some_tokens(tiny())
    whole = model(tokens_BT).logits_BTV
    torch.testing.assert_close(model(tokens_BT, last_only=True).logits_BTV, whole[:, -1:])


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("pure", [True, False])
def test_attention_in_fp32_is_the_same_attention_more_exactly(pure: bool, position: str) -> None:
    spec = tiny(position=position, num_kv_heads=2)
    exact = build(spec)(some_tokens(spec)).logits_BTV
    errors = []
    for in_fp32 in (True, False):
        model = build(spec, dtype=torch.bfloat16 if pure else torch.float32)
        model.attention_in_fp32 = in_fp32
        with torch.autocast("cpu", torch.bfloat16, enabled=not pure):
            logits_BTV = model(some_tokens(spec)).logits_BTV
            model(some_tokens(spec), some_tokens(spec)).loss.backward()
        assert logits_BTV.dtype == torch.bfloat16
        errors.append((logits_BTV - exact).norm() / exact.norm())
    assert errors[0] < 0.03
    assert errors[0] < 1.5 * errors[1]


def test_attention_in_fp32_changes_nothing_in_an_fp32_model() -> None:
    model = build(tiny())
    before = model(some_tokens(tiny())).logits_BTV
    model.attention_in_fp32 = True
    assert torch.equal(model(some_tokens(tiny())).logits_BTV, before)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("precision", ["fp32", "mixed", "pure"])
def test_every_kernel_of_attention_says_the_same(position: str, precision: str) -> None:
    spec = tiny(position=position, num_kv_heads=2)
    found = {}
    for kernel in ("auto", "fused", "materialised"):
        model = build(spec, dtype=torch.bfloat16 if precision == "pure" else torch.float32)
        model.attention_kernel = kernel
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed"):
            found[kernel] = model(some_tokens(spec)).logits_BTV
            model(some_tokens(spec), some_tokens(spec)).loss.backward()
        assert all(p.grad is not None for p in model.parameters())
    assert torch.equal(found["auto"], found["fused"])
    close = {} if precision == "fp32" else {"rtol": 0.05, "atol": 0.05}
    torch.testing.assert_close(found["materialised"], found["fused"], **close)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_attention_that_is_written_out_drops_and_computes_again(checkpointing: bool) -> None:
    spec = tiny(dropout=0.5)
    losses = []
    for kernel in ("auto", "materialised"):  # with dropout the CPU has no other way
        torch.manual_seed(3)
        model = build(spec)
        model.attention_kernel, model.gradient_checkpointing = kernel, checkpointing
        loss = model(some_tokens(spec), some_tokens(spec)).loss
        loss.backward()
        losses.append((loss, model.model.embed_tokens.weight.grad))
    assert torch.equal(losses[0][0], losses[1][0])
    assert torch.equal(losses[0][1], losses[1][1])


def test_a_cache_goes_with_attention_that_is_written_out() -> None:
    spec = tiny(num_kv_heads=2)
    model = build(spec)
    model.attention_kernel = "materialised"
    tokens_BT, cache = some_tokens(spec), KVCache(spec)
    whole = model(tokens_BT).logits_BTV
    model(tokens_BT[:, :-1], cache=cache)
    last = model(tokens_BT[:, -1:], cache=cache).logits_BTV
    torch.testing.assert_close(last, whole[:, -1:])
