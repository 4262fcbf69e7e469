"""Rotations, sinusoids and ALiBi against the papers."""

from __future__ import annotations

import math

import pytest
import torch

from engine.models.positions import alibi_bias, rotate, rotation_table, sinusoidal_table
from tests.engine.models.designs import tiny


def test_a_rotation_makes_scores_depend_on_the_distance_only() -> None:
    spec = tiny(head_dim=32)
    generator = torch.Generator().manual_seed(0)
    q_h, k_h = (torch.randn(32, generator=generator, dtype=torch.float64) for _ in range(2))

    def score(q_at: int, k_at: int) -> float:
        table = rotation_table(torch.tensor([q_at, k_at]), spec, torch.float64)
        pair_TKh = rotate(torch.stack((q_h, k_h))[:, None, :], *table)[:, 0]
        return float(pair_TKh[0] @ pair_TKh[1])

    for distance in (0, 1, 5, 60):
        expected = score(distance, 0)
        for start in (1, 17, 400):
            assert score(start + distance, start) == pytest.approx(expected, abs=1e-3)
    assert score(0, 0) == pytest.approx(float(q_h @ k_h), rel=1e-12)
    assert abs(score(5, 0) - score(0, 5)) > 1e-2  # the direction counts


def test_a_rotation_keeps_lengths() -> None:
    spec = tiny(head_dim=16)
    x_TKh = torch.randn(40, 3, 16, generator=torch.Generator().manual_seed(0))
    turned = rotate(x_TKh, *rotation_table(torch.arange(40), spec, torch.float32))
    torch.testing.assert_close(turned.norm(dim=-1), x_TKh.norm(dim=-1))
    assert torch.equal(turned[0], x_TKh[0])


def test_linear_scaling_is_a_slower_walk() -> None:
    """Position p under factor 4 turns as far as position p / 4 did."""
    plain = rotation_table(torch.arange(10), tiny(), torch.float64)
    scaled = rotation_table(
        torch.arange(0, 40, 4), tiny(rope_scaling="linear", rope_factor=4.0), torch.float64
    )
    for a, b in zip(plain, scaled, strict=True):
        torch.testing.assert_close(a, b)


def test_sinusoids_are_the_original_transformers() -> None:
    table = sinusoidal_table(torch.arange(50), 16)
    for position in (0, 1, 49):
        for i in range(8):
            angle = position / 10_000 ** (2 * i / 16)
            assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_alibi_lowers_scores_by_distance_and_forbids_what_is_ahead() -> None:
    bias_HTS = alibi_bias(torch.arange(2, 4), torch.arange(4), 2)
    expected = torch.tensor([[-2.0, -1.0, 0.0, -math.inf], [-3.0, -2.0, -1.0, 0.0]])
    torch.testing.assert_close(bias_HTS[0], expected / 16)
    torch.testing.assert_close(bias_HTS[1], expected / 256)
