"""New weights by the same rules as torch's, and the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from engine.backends.card.initial_weights import initial_weights
from engine.models.decoder import build
from engine.presets import preset
from engine.spec import ModelSpec

GPT = preset("nanogpt-char").model.replace(num_layers=2)


@pytest.mark.parametrize("spec", [GPT, preset("nanollama3-char").model.replace(num_layers=2)])
def test_names_shapes_and_spread_are_those_of_torch(spec: ModelSpec) -> None:
    drawn = initial_weights(spec, 3)
    theirs = {name: p.detach().numpy() for name, p in build(spec, seed=3).named_parameters()}
    assert list(drawn) == list(theirs)
    for name, weight in drawn.items():
        assert weight.dtype == np.float32
        assert weight.shape == theirs[name].shape
        if weight.ndim == 1:
            assert np.array_equal(weight, theirs[name])
        else:
            assert weight.std() == pytest.approx(theirs[name].std(), rel=0.02)
            assert abs(weight.mean()) < 0.001


def test_the_seed_decides() -> None:
    one, same, other = (initial_weights(GPT, seed) for seed in (1, 1, 2))
    name = "model.embed_tokens.weight"
    assert np.array_equal(one[name], same[name])
    assert not np.array_equal(one[name], other[name])
