"""The donut in words and numbers."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from engine.cost.parameters import count
from engine.spec import ModelSpec
from trickster_gui.cost.slices import block_ring, model_ring, share_text, share_words

NANO = ModelSpec()
TINY_LLAMA = ModelSpec(
    hidden_dim=2048, num_layers=22, num_heads=32, num_kv_heads=4, mlp_dim=5632,
    vocab_size=32_000, tied_embeddings=False, max_seq_len=2048,
)  # fmt: skip
SPECS = st.builds(
    ModelSpec,
    hidden_dim=st.sampled_from([64, 256, 4096]),
    num_layers=st.integers(1, 64),
    mlp_dim=st.sampled_from([32, 768, 14_336]),
    activation=st.sampled_from(["relu", "gelu", "swiglu", "geglu"]),
    position=st.sampled_from(["none", "sinusoidal", "learned", "rope", "alibi"]),
    norm=st.sampled_from(["rmsnorm", "layernorm"]),
    norm_position=st.sampled_from(["pre", "post"]),
    qkv_bias=st.booleans(),
    attention_output_bias=st.booleans(),
    mlp_bias=st.booleans(),
    tied_embeddings=st.booleans(),
    head_bias=st.booleans(),
    vocab_size=st.integers(2, 300_000),
)


def test_nano_trickster_by_component() -> None:
    ring = model_ring(NANO, count(NANO))
    assert ring.total == 5_180_672
    found = {piece.component: (piece.count, share_text(piece.share)) for piece in ring.slices}
    assert found == {
        "embedding": (65_536, "1.27 %"),
        "position": (0, "0.00 %"),
        "attention": (1_572_864, "30.36 %"),
        "mlp": (3_538_944, "68.31 %"),
        "norm": (3_328, "0.06 %"),
        "head": (0, "0.00 %"),
    }


def test_tiny_llama_spends_88_08_percent_in_its_blocks() -> None:
    ring = model_ring(TINY_LLAMA, count(TINY_LLAMA))
    shares = {piece.component: piece.share for piece in ring.slices}
    assert share_text(shares["embedding"]) == share_text(shares["head"]) == "5.96 %"
    assert share_text(shares["attention"] + shares["mlp"]) == "88.08 %"


def test_formulas_have_their_numbers_filled_in() -> None:
    ring = model_ring(NANO, count(NANO))
    formulas = {piece.component: piece.formula for piece in ring.slices}
    assert formulas["mlp"] == "6 × 3·256·768 = 3,538,944"
    assert formulas["head"] == "Tied: it is the embedding matrix, counted once."
    assert formulas["position"].startswith("RoPE turns")


def test_one_block_by_weight() -> None:
    ring = block_ring(NANO, count(NANO))
    assert ring.total == 852_480
    assert [piece.name for piece in ring.slices] == [
        "Norm 1", "Query", "Key", "Value", "Output", "Norm 2", "Gate", "Up", "Down",
    ]  # fmt: skip
    down = ring.slices[-1]
    assert (down.shape, down.count, down.formula) == ("256 × 768", 196_608, "256·768 = 196,608")
    assert share_words(down, ring) == "23.06 % of one block"


def test_a_bias_is_counted_with_its_matrix() -> None:
    spec = NANO.replace(qkv_bias=True)
    query = block_ring(spec, count(spec)).slices[1]
    assert query.count == 65_536 + 256
    assert query.formula == "256·256 + 256 (bias) = 65,792"


@given(SPECS)
def test_slices_sum_to_the_whole(spec: ModelSpec) -> None:
    counted = count(spec)
    for ring in (model_ring(spec, counted), block_ring(spec, counted)):
        assert sum(piece.count for piece in ring.slices) == ring.total
        assert math.isclose(sum(piece.share for piece in ring.slices), 1.0)
        assert len(ring.slices) <= 9
        for piece in ring.slices:
            if piece.count:
                assert f"{piece.count:,}" in piece.formula
    assert model_ring(spec, counted).total == counted.total


def test_never_zero_percent_of_what_is_there() -> None:
    assert share_text(0.000_01) == "< 0.01 %"
    assert share_text(0.0) == "0.00 %"
