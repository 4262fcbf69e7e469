"""Tables of positions against those of the torch models, and against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.backends.tenstorrent import host_arrays
from engine.models import positions
from tests.engine.backends.tenstorrent.designs import small


@pytest.mark.parametrize("scaling", ["none", "linear", "ntk", "yarn", "llama3"])
def test_rotations_are_torchs_in_more_digits(scaling: str) -> None:
    spec = small(rope_scaling=scaling, rope_factor=4.0)
    cosines, sines = host_arrays.rotation_tables(spec, 64)
    assert cosines.shape == sines.shape == (64, 32)
    expected = positions.rotation_table(torch.arange(64), spec, torch.float64)
    for found, torchs in zip((cosines, sines), expected, strict=True):
        np.testing.assert_allclose(found[:, :8], np.tile(torchs[:, 0].numpy(), 2), atol=1e-5)
        assert not found[:, 8:].any()


def test_a_quarter_turn_takes_each_pair_to_its_perpendicular() -> None:
    turned = np.arange(1.0, 33.0) @ host_arrays.quarter_turn(small())
    np.testing.assert_array_equal(turned[:8], [-5, -6, -7, -8, 1, 2, 3, 4])
    assert not turned[8:].any()


def test_scores_ahead_are_forbidden_and_alibi_lowers_those_behind() -> None:
    (plain,) = host_arrays.score_mask(small(), 32)
    assert plain[5, :6].tolist() == [0.0] * 6
    assert (plain[5, 6:] == host_arrays.FORBIDDEN).all()
    lowered = host_arrays.score_mask(small(position="alibi"), 32)
    assert lowered.shape == (4, 32, 32)
    assert lowered[1, 5, :6].tolist() == [-distance / 16 for distance in (5, 4, 3, 2, 1, 0)]
    assert (lowered[:, 5, 6:] == host_arrays.FORBIDDEN).all()


def test_sinusoids_are_torchs_in_more_digits() -> None:
    found = host_arrays.sinusoidal_table(small(), 64)
    torchs = positions.sinusoidal_table(torch.arange(64), 32).numpy()
    np.testing.assert_allclose(found, torchs, atol=1e-5)
    assert found[3, 0] == pytest.approx(math.sin(3.0), abs=1e-15)


def test_tokens_that_only_fill_the_tile_are_forbidden() -> None:
    allowed = host_arrays.vocabulary_mask(small())
    assert allowed.tolist() == [0.0] * 37 + [host_arrays.FORBIDDEN] * 27
    assert not host_arrays.vocabulary_mask(small(vocab_size=64)).any()
