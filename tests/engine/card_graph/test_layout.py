"""Weights in whole tiles and back, and the random start."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from engine.backends.tenstorrent import host_arrays
from engine.card_graph.layout import placements
from engine.families.decoder import weights
from engine.families.weight import expand
from engine.spec import ModelSpec
from tests.engine.backends.tenstorrent.designs import card_specs, small


@given(card_specs())
def test_weights_come_back_as_they_were_put(spec: ModelSpec) -> None:
    generator = np.random.default_rng(0)
    listed = dict(expand(weights(spec)))
    assert placements(spec).keys() == listed.keys()
    for name, shape in listed.items():
        weight = generator.standard_normal(shape)
        place = placements(spec)[name]
        stored = host_arrays.put(place, weight)
        assert stored.shape == place.stored
        assert all(size % 32 == 0 for size in stored.shape[2:] if size > 1)
        np.testing.assert_array_equal(host_arrays.take(place, stored), weight)
        assert np.count_nonzero(stored) == np.count_nonzero(weight)


def test_each_head_begins_at_a_tile() -> None:
    place = placements(small())["model.layers.0.self_attn.q_proj.weight"]
    stored = host_arrays.put(place, np.arange(1.0, 1.0 + 32 * 32).reshape(32, 32))
    assert stored.shape == (1, 1, 4 * 32, 32)
    assert stored[0, 0, 32, 0] == 1 + 8 * 32  # the second head, after 8 rows and 24 of zeros
    assert not stored[0, 0, 8:32].any()


def test_a_weight_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 3\), this model \(37, 32\)"):
        host_arrays.put(placements(small())["model.embed_tokens.weight"], np.zeros((3, 3)))
