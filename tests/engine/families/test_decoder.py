from __future__ import annotations

from hypothesis import given

from engine.families.decoder import weights
from engine.families.weight import GROUPS, expand
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs

NANO = ModelSpec()


def names(spec: ModelSpec) -> set[str]:
    return {weight.name for weight in weights(spec)}


def test_the_default_design_has_llamas_weights() -> None:
    listed = [(w.name, w.group, w.shape, w.copies) for w in weights(NANO)]
    assert listed == [
        ("model.embed_tokens.weight", "embedding", (256, 256), 1),
        ("model.layers.{layer}.input_layernorm.weight", "norm", (256,), 6),
        ("model.layers.{layer}.self_attn.q_proj.weight", "attention", (256, 256), 6),
        ("model.layers.{layer}.self_attn.k_proj.weight", "attention", (256, 256), 6),
        ("model.layers.{layer}.self_attn.v_proj.weight", "attention", (256, 256), 6),
        ("model.layers.{layer}.self_attn.o_proj.weight", "attention", (256, 256), 6),
        ("model.layers.{layer}.post_attention_layernorm.weight", "norm", (256,), 6),
        ("model.layers.{layer}.mlp.gate_proj.weight", "mlp", (768, 256), 6),
        ("model.layers.{layer}.mlp.up_proj.weight", "mlp", (768, 256), 6),
        ("model.layers.{layer}.mlp.down_proj.weight", "mlp", (256, 768), 6),
        ("model.norm.weight", "norm", (256,), 1),
    ]  # fmt: skip


def test_grouped_queries_narrow_keys_and_values_only() -> None:
    shapes = {weight.name.split(".")[-2]: weight.shape for weight in weights(
        NANO.replace(num_kv_heads=2, head_dim=48)
    ) if weight.group == "attention"}  # fmt: skip
    assert shapes == {
        "q_proj": (384, 256), "k_proj": (96, 256), "v_proj": (96, 256), "o_proj": (256, 384)
    }  # fmt: skip


def test_each_option_adds_exactly_its_own_weights() -> None:
    base = names(NANO)
    block = "model.layers.{layer}."
    for change, added, removed in (
        ({"tied_embeddings": False}, {"lm_head.weight"}, set()),
        ({"head_bias": True}, {"lm_head.bias"}, set()),
        ({"position": "learned"}, {"model.embed_positions.weight"}, set()),
        ({"position": "alibi"}, set(), set()),
        ({"position": "sinusoidal"}, set(), set()),
        ({"norm_position": "post"}, set(), {"model.norm.weight"}),
        ({"activation": "gelu"}, set(), {block + "mlp.gate_proj.weight"}),
        ({"qkv_bias": True}, {f"{block}self_attn.{x}_proj.bias" for x in "qkv"}, set()),
        ({"attention_output_bias": True}, {block + "self_attn.o_proj.bias"}, set()),
        (
            {"mlp_bias": True},
            {f"{block}mlp.{x}_proj.bias" for x in ("gate", "up", "down")},
            set(),
        ),
        (
            {"norm": "layernorm"},
            {
                block + "input_layernorm.bias",
                block + "post_attention_layernorm.bias",
                "model.norm.bias",
            },
            set(),
        ),
    ):
        assert names(NANO.replace(**change)) == (base | added) - removed, change  # type: ignore[arg-type]


def test_learned_positions_have_a_row_for_each_position() -> None:
    listed = {w.name: w for w in weights(NANO.replace(position="learned", max_seq_len=77))}
    assert listed["model.embed_positions.weight"].shape == (77, 256)
    assert listed["model.embed_positions.weight"].group == "position"


@given(model_specs(large=True))
def test_names_are_unique_groups_known_and_copies_the_blocks(spec: ModelSpec) -> None:
    listed = weights(spec)
    assert len({weight.name for weight in listed}) == len(listed)
    for weight in listed:
        assert weight.group in GROUPS
        assert weight.copies == (spec.num_layers if weight.in_block else 1)
        assert all(size > 0 for size in weight.shape)


@given(model_specs())
def test_expanded_weights_have_all_parameters(spec: ModelSpec) -> None:
    total = 0
    for _, shape in expand(weights(spec)):
        product = 1
        for size in shape:
            product *= size
        total += product
    assert total == sum(weight.count for weight in weights(spec))
