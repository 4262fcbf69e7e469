"""The account against the peaks that the vendor published for its own trainer."""

from __future__ import annotations

import pytest

from engine.cost.tt_train_memory import TILE, tt_train_memory
from engine.presets import preset
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

MB = 1 << 20  # the vendor's MB: its tool divides by 1024 twice
RUN = RunSpec(batch_size=64)
LIMIT = 0.012


def gpt(hidden: int, layers: int, heads: int, length: int) -> ModelSpec:
    """The vendor's models as that pull request measured them: 96 characters, no dropout."""
    return ModelSpec(
        hidden_dim=hidden, num_layers=layers, num_heads=heads, num_kv_heads=heads,
        mlp_dim=4 * hidden, max_seq_len=length, vocab_size=96, activation="gelu",
        position="learned", norm="layernorm", qkv_bias=True, attention_output_bias=True,
        mlp_bias=True, tied_embeddings=False, dropout=0.0,
    )  # fmt: skip


GPT2_SMALL, NANO_GPT = gpt(768, 12, 12, 1024), gpt(384, 6, 6, 256)
GPT2_BLOCK, NANO_BLOCK = (spec.replace(num_layers=1) for spec in (GPT2_SMALL, NANO_GPT))


@pytest.mark.parametrize(
    ("spec", "efficient", "published"),
    [
        (NANO_GPT, False, 2_334.16796875),
        (NANO_GPT, True, 838.16796875),
        (GPT2_SMALL, False, 51_038.1875),
        (GPT2_SMALL, True, 12_078.1875),
        (NANO_BLOCK, False, 735.76953125),
        (GPT2_BLOCK, False, 10_578.984375),
        (GPT2_BLOCK, True, 10_866.984375),
    ],
)
def test_the_published_peaks_of_the_n150(
    spec: ModelSpec, efficient: bool, published: float
) -> None:
    found = tt_train_memory(spec, RUN, efficient).forward_backward_bytes / MB
    assert found == pytest.approx(published, rel=LIMIT)


@pytest.mark.parametrize(
    ("many", "one", "efficient", "published"),
    [
        (GPT2_SMALL, GPT2_BLOCK, False, 51_038.1875 - 10_578.984375),
        (GPT2_SMALL, GPT2_BLOCK, True, 12_078.1875 - 10_866.984375),
        (NANO_GPT, NANO_BLOCK, False, 2_334.16796875 - 735.76953125),
    ],
)
def test_what_a_block_adds_is_exact(
    many: ModelSpec, one: ModelSpec, efficient: bool, published: float
) -> None:
    added = (
        tt_train_memory(many, RUN, efficient).forward_backward_bytes
        - tt_train_memory(one, RUN, efficient).forward_backward_bytes
    )
    assert added / MB == published


def test_gpt2_small_fits_no_n150_at_that_batch_but_nano_does() -> None:
    card = 12_884_901_888
    assert tt_train_memory(GPT2_SMALL, RUN).peak_bytes > card
    assert tt_train_memory(NANO_GPT, RUN).peak_bytes < card


def test_full_precision_keeps_masters_and_moments_in_fp32() -> None:
    spec = preset("nanollama3-char").model
    bf16 = tt_train_memory(spec, RUN.replace(precision="bf16"))
    full = tt_train_memory(spec, RUN.replace(precision="bf16-mixed"))
    assert bf16.weights == bf16.gradients == bf16.optimizer // 2
    assert full.optimizer == 6 * full.weights
    assert full.peak_bytes - bf16.peak_bytes == 4 * full.weights


def test_vectors_fill_tiles() -> None:
    spec = preset("nanollama3-char").model
    matrices = 9_810_816 - 13 * 384
    assert tt_train_memory(spec, RUN).weights == 2 * (matrices + TILE * 13 * 384)


def test_sizes_between_tiles_take_whole_ones() -> None:
    odd = NANO_GPT.replace(vocab_size=65)
    assert tt_train_memory(odd, RUN) == tt_train_memory(NANO_GPT, RUN)
    shorter = RUN.replace(seq_len=225)
    assert tt_train_memory(NANO_GPT, shorter) == tt_train_memory(NANO_GPT, RUN)


def test_the_runs_own_setting_chooses_the_runner() -> None:
    asked = RUN.replace(gradient_checkpointing=True)
    assert tt_train_memory(NANO_GPT, asked) == tt_train_memory(NANO_GPT, RUN, True)


def test_attention_without_stored_scores_takes_less() -> None:
    stored = tt_train_memory(GPT2_SMALL, RUN)
    fused = tt_train_memory(GPT2_SMALL, RUN, fused_attention=True)
    scores = 64 * 12 * 1024 * 1024 * 2
    assert stored.activations - fused.activations == 12 * scores
    assert fused.working < stored.working


def test_dropout_keeps_what_it_passed_on() -> None:
    width = 64 * 256 * 384 * 2
    dropped = tt_train_memory(NANO_GPT.replace(dropout=0.2), RUN)
    assert dropped.activations - tt_train_memory(NANO_GPT, RUN).activations == 13 * width


def test_a_llama_keeps_less_with_fewer_key_heads() -> None:
    spec = preset("nanollama3-char").model
    assert spec.position == "rope"
    whole = tt_train_memory(spec.replace(num_kv_heads=6), RUN)
    grouped = tt_train_memory(spec, RUN)
    # Projected, cut into heads and (keys only) turned: 192 numbers a token less for each.
    assert whole.activations - grouped.activations == 6 * 64 * 256 * 2 * (2 * 2 + 1) * 192
