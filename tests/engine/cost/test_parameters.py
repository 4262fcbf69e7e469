from __future__ import annotations

import ast

import pytest
from hypothesis import given

from engine.cost.parameters import count, formula
from engine.families.weight import GROUPS
from engine.presets import preset
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs

NANO = ModelSpec()


def published(spec: ModelSpec) -> int:
    """The total from the closed formulas of the papers, written independently of the weights."""
    d, layers, heads, keys, h = (
        spec.hidden_dim, spec.num_layers, spec.num_heads, spec.num_kv_heads, spec.head_size,
    )  # fmt: skip
    norm = 2 * d if spec.norm == "layernorm" else d
    attention = d * heads * h + 2 * d * keys * h + heads * h * d
    attention += (heads * h + 2 * keys * h) * spec.qkv_bias + d * spec.attention_output_bias
    matrices = 3 if spec.gated else 2
    mlp = matrices * d * spec.mlp_dim + ((matrices - 1) * spec.mlp_dim + d) * spec.mlp_bias
    total = spec.vocab_size * d + layers * (attention + mlp + 2 * norm)
    total += norm * (spec.norm_position == "pre")
    total += spec.max_seq_len * d * (spec.position == "learned")
    total += spec.vocab_size * d * (not spec.tied_embeddings) + spec.vocab_size * spec.head_bias
    return total


def test_nano_trickster_to_the_last_parameter() -> None:
    counted = count(NANO)
    assert counted.total == 5_180_672
    assert counted.groups == {
        "embedding": 65_536, "attention": 1_572_864, "mlp": 3_538_944, "norm": 3_328,
    }  # fmt: skip
    assert counted.block == {"attention": 262_144, "mlp": 589_824, "norm": 512}
    assert sum(counted.block.values()) == 852_480


@pytest.mark.parametrize(
    ("change", "total"),
    [
        ({"tied_embeddings": False}, 5_246_208),
        ({"activation": "gelu"}, 4_001_024),
        ({"vocab_size": 65}, 5_131_776),
    ],
)
def test_nano_tricksters_variants(change: dict[str, int], total: int) -> None:
    assert count(NANO.replace(**change)).total == total


def test_tinyllamas_block() -> None:
    block = count(preset("tinyllama-1.1b").model).block
    assert block["attention"] == 9_437_184
    assert block["mlp"] == 34_603_008
    assert sum(block.values()) == 44_044_288


def test_llama_3s_layers() -> None:
    block = count(preset("llama-3-8b").model).block
    assert (block["attention"], block["mlp"]) == (41_943_040, 176_160_768)


@given(model_specs(large=True))
def test_the_count_is_that_of_the_published_formulas(spec: ModelSpec) -> None:
    assert count(spec).total == published(spec)


@given(model_specs(large=True))
def test_the_parts_sum_to_the_whole(spec: ModelSpec) -> None:
    counted = count(spec)
    assert sum(counted.groups.values()) == counted.total
    assert counted.embedding + counted.non_embedding == counted.total
    assert sum(weight.count for weight in counted.weights) == counted.total
    block = spec.num_layers * sum(counted.block.values())
    outside = sum(weight.count for weight in counted.weights if not weight.in_block)
    assert block + outside == counted.total


def evaluated(text: str) -> int:
    """The value of a sum of products, read by Python's own parser."""
    tree = ast.parse(text.replace(",", "").replace("×", "*").replace("·", "*"), mode="eval")

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Constant):
            assert isinstance(node.value, int)
            return node.value
        assert isinstance(node, ast.BinOp)
        left, right = value(node.left), value(node.right)
        assert isinstance(node.op, (ast.Add, ast.Mult))
        return left + right if isinstance(node.op, ast.Add) else left * right

    return value(tree.body)


@given(model_specs(large=True))
def test_each_formula_evaluates_to_the_count_beside_it(spec: ModelSpec) -> None:
    groups = count(spec).groups
    for group in GROUPS:
        sides = formula(group, spec).split(" = ")
        for side in sides:
            assert evaluated(side) == groups.get(group, 0)


def test_formulas_read_well() -> None:
    assert formula("embedding", NANO) == "256 × 256 = 65,536"
    assert formula("mlp", NANO) == "6 × 3·256·768 = 3,538,944"
    assert formula("head", NANO) == "0"
    assert formula("head", NANO.replace(head_bias=True)) == "256"
    grouped = NANO.replace(num_kv_heads=2)
    assert formula("attention", grouped) == "6 × (2·256·256 + 2·64·256) = 983,040"
    assert formula("norm", NANO) == "6 × 2·256 + 256 = 3,328"
