"""RoPE's speeds, unscaled and stretched, against the papers."""

from __future__ import annotations

import itertools
import math

import pytest

from engine.rotary import rope_attention_factor, rope_frequencies
from engine.spec import ModelSpec
from tests.engine.models.designs import tiny

LLAMA = ModelSpec(
    hidden_dim=4096, num_heads=32, num_kv_heads=8, max_seq_len=131_072, rope_theta=500_000.0,
    rope_factor=8.0, rope_original_seq_len=8192,
)  # fmt: skip


def test_unscaled_frequencies_fall_from_1_by_the_same_ratio() -> None:
    frequencies = rope_frequencies(tiny(head_dim=8, rope_theta=10_000.0))
    assert frequencies == pytest.approx((1.0, 0.1, 0.01, 0.001), rel=1e-12)


def test_ntk_keeps_the_fastest_pair_and_stretches_the_slowest_by_the_factor() -> None:
    plain = rope_frequencies(tiny(head_dim=64))
    ntk = rope_frequencies(tiny(head_dim=64, rope_scaling="ntk", rope_factor=8.0))
    assert ntk[0] == 1.0
    assert ntk[-1] == pytest.approx(plain[-1] / 8, rel=1e-12)
    ratios = [b / a for a, b in itertools.pairwise(ntk)]
    assert ratios == pytest.approx([ratios[0]] * 31)  # still one base
    assert rope_frequencies(tiny(head_dim=2, rope_scaling="ntk", rope_factor=8.0)) == (1.0,)


def test_llama3_scaling_by_wavelength() -> None:
    """As the rule is told: by how a wavelength compares with the original context."""
    plain = rope_frequencies(LLAMA)
    scaled = rope_frequencies(LLAMA.replace(rope_scaling="llama3"))
    kinds = set()
    for before, after in zip(plain, scaled, strict=True):
        wavelength = 2 * math.pi / before
        if wavelength < 8192 / 4:
            kinds.add("kept")
            assert after == before
        elif wavelength > 8192 / 1:
            kinds.add("stretched")
            assert after == pytest.approx(before / 8, rel=1e-12)
        else:
            kinds.add("mixed")
            smooth = (8192 / wavelength - 1) / 3
            assert after == pytest.approx((1 - smooth) * before / 8 + smooth * before, rel=1e-12)
    assert kinds == {"kept", "stretched", "mixed"}


def test_yarn_leaves_fast_pairs_stretches_slow_ones_and_raises_scores() -> None:
    spec = LLAMA.replace(rope_scaling="yarn")
    plain, scaled = rope_frequencies(LLAMA), rope_frequencies(spec)
    shares = []
    for before, after in zip(plain, scaled, strict=True):
        turns = 8192 * before / (2 * math.pi)
        share = (before / after - 1) / (8 - 1)  # 0: as it was, 1: stretched by the whole factor
        if turns > 32 * (plain[0] / plain[1]):  # beyond the rounding of the bounds
            assert share == pytest.approx(0, abs=1e-12)
        if turns < 1 / (plain[0] / plain[1]):
            assert share == pytest.approx(1, abs=1e-12)
        shares.append(share)
    assert shares == sorted(shares)
    assert 0 in [round(share, 9) for share in shares]
    assert 1 in [round(share, 9) for share in shares]
    assert rope_attention_factor(spec) == pytest.approx(0.1 * math.log(8) + 1)
    assert rope_attention_factor(LLAMA) == 1.0


@pytest.mark.parametrize("theta", [1.0, 1.0000001, 2.0, 1e9])
@pytest.mark.parametrize("original", [1, 2, 64, 131_072])
@pytest.mark.parametrize("scaling", ["none", "linear", "ntk", "yarn", "llama3"])
def test_every_legal_setting_has_finite_frequencies_between_plain_and_stretched(
    scaling: str, original: int, theta: float
) -> None:
    spec = LLAMA.replace(
        rope_scaling=scaling, rope_theta=theta, rope_original_seq_len=original, rope_factor=1024.0
    )
    plain = rope_frequencies(spec.replace(rope_scaling="none"))
    for before, after in zip(plain, rope_frequencies(spec), strict=True):
        assert before / 1024 * (1 - 1e-9) <= after <= before * (1 + 1e-9)


def test_a_factor_of_1_stretches_nothing() -> None:
    for scaling in ("linear", "ntk", "yarn", "llama3"):
        spec = tiny(head_dim=32, rope_scaling=scaling, rope_factor=1.0)
        assert rope_frequencies(spec) == pytest.approx(
            rope_frequencies(tiny(head_dim=32)), rel=1e-12
        )
        assert rope_attention_factor(spec) == 1.0
