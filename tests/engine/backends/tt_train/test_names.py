"""The map between our weights and ttml's parameters."""

from __future__ import annotations

import numpy as np
import pytest

from engine.backends.card.initial_weights import initial_weights
from engine.backends.tt_train.names import (
    UnknownParametersError,
    from_ttml,
    parameter_plan,
    to_ttml,
)
from engine.presets import preset
from engine.spec import ModelSpec
from tests.engine.backends.tt_train import recorded_ttml

LLAMA = preset("nanollama3-char").model.replace(num_layers=2)
GPT = preset("nanogpt-char").model.replace(num_layers=2)


def names_of(spec: ModelSpec, *, fused: bool = True) -> dict[str, list[int]]:
    """Every parameter of the double's model of this design, with its shape."""
    tying = recorded_ttml.WeightTyingType
    tied = tying.Enabled if spec.tied_embeddings else tying.Disabled
    recorded_ttml.Llama.fused = fused
    if spec.norm == "rmsnorm":
        model: recorded_ttml.Module = recorded_ttml.Llama(
            recorded_ttml.LlamaConfig(
                spec.hidden_dim, spec.mlp_dim, spec.num_layers, spec.num_heads, spec.num_kv_heads,
                spec.vocab_size, spec.max_seq_len, weight_tying=tied,
            )
        )  # fmt: skip
    else:
        model = recorded_ttml.NanoGPT(
            recorded_ttml.NanoGPTConfig(
                spec.vocab_size, spec.max_seq_len, spec.hidden_dim, spec.num_layers,
                spec.num_heads, weight_tying=tied,
            )
        )  # fmt: skip
    return {name: tensor.shape() for name, tensor in model.parameters().items()}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("spec", [LLAMA, LLAMA.replace(tied_embeddings=True), GPT,
                                  GPT.replace(tied_embeddings=True)])  # fmt: skip
def test_there_and_back_is_the_same_and_shapes_are_ttmls(spec: ModelSpec, fused: bool) -> None:
    shapes = names_of(spec, fused=fused)
    plan = parameter_plan(spec, shapes)
    weights = {
        name: np.random.default_rng(len(name)).normal(size=array.shape).astype(np.float32)
        for name, array in initial_weights(spec, 1).items()
    }
    theirs = to_ttml(spec, weights, plan)
    assert {name: list(array.shape) for name, array in theirs.items()} == shapes
    back = from_ttml(spec, theirs, plan)
    assert list(back) == list(weights)
    assert all(np.array_equal(back[name], weights[name]) for name in weights)


def rotated(vector: np.ndarray, angles: np.ndarray, pairs: str) -> np.ndarray:
    """One head's features turned: "halves" half a head apart, "neighbours" side by side."""
    half = len(vector) // 2
    one, other = (
        (vector[:half], vector[half:]) if pairs == "halves" else (vector[::2], vector[1::2])
    )
    turned = np.empty_like(vector)
    first = one * np.cos(angles) - other * np.sin(angles)
    second = other * np.cos(angles) + one * np.sin(angles)
    if pairs == "halves":
        turned[:half], turned[half:] = first, second
    else:
        turned[::2], turned[1::2] = first, second
    return turned


@pytest.mark.parametrize("fused", [True, False])
def test_attention_scores_are_the_same_by_ttmls_rotation(fused: bool) -> None:
    chance, spec = np.random.default_rng(4), LLAMA
    weights = initial_weights(spec, 5)
    theirs = to_ttml(spec, weights, parameter_plan(spec, names_of(spec, fused=fused)))
    block, size = "Llama/blocks/1/attention", spec.head_size
    if fused:
        query, key = np.split(theirs[f"{block}/qkv_linear/weight"][0, 0], [384])
    else:
        query, key = (theirs[f"{block}/{x}_linear/weight"][0, 0] for x in ("q", "kv"))
    ours = [weights[f"model.layers.1.self_attn.{x}_proj.weight"] for x in "qkv"]
    inputs = chance.normal(size=(2, spec.hidden_dim))
    angles = [at / 500_000 ** (np.arange(size // 2) / (size // 2)) for at in (3, 8)]
    for head in range(spec.num_heads):
        rows = slice(head * size, (head + 1) * size)
        shared = slice(head // 2 * size, (head // 2 + 1) * size)
        scores = [
            rotated(q[rows] @ inputs[0], angles[0], pairs)
            @ rotated(k[shared] @ inputs[1], angles[1], pairs)
            for q, k, pairs in ((ours[0], ours[1], "halves"), (query, key, "neighbours"))
        ]
        assert scores[0] == pytest.approx(scores[1], rel=1e-9)
    assert np.array_equal(key[-192:], ours[2]), "values are not turned, and lie last"


def test_a_parameter_that_is_not_known_is_refused() -> None:
    names = [*names_of(LLAMA), "Llama/blocks/0/attention/q_norm/gamma"]
    with pytest.raises(UnknownParametersError, match="q_norm"):
        parameter_plan(LLAMA, names)


def test_a_weight_without_a_place_is_refused() -> None:
    names = [name for name in names_of(GPT) if "pos_emb" not in name]
    with pytest.raises(UnknownParametersError, match=r"no parameter for model\.embed_positions"):
        parameter_plan(GPT, names)


def test_a_parameter_of_another_size_is_refused() -> None:
    plan = parameter_plan(LLAMA, names_of(LLAMA))
    theirs = to_ttml(LLAMA, initial_weights(LLAMA, 1), plan)
    theirs["Llama/fc/weight"] = theirs["Llama/fc/weight"][:, :, :32]
    with pytest.raises(UnknownParametersError, match="has 12,288 numbers, this model 36,864"):
        from_ttml(LLAMA, theirs, plan)
