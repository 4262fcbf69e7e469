"""A new model's weights, drawn by numpy by the rules of engine.models.decoder.initialize."""

from __future__ import annotations

import math

import numpy as np

from engine.backends.card.model import Arrays
from engine.families import decoder as family
from engine.families.weight import expand
from engine.spec import ModelSpec

_RESIDUAL = ("o_proj.weight", "down_proj.weight")


def initial_weights(spec: ModelSpec, seed: int) -> Arrays:
    """Matrices N(0, init_std), those that write into the residual stream 1 / √(2L) of it
    (GPT-2, section 2.3); biases 0, norms 1.

    The same for the same seed everywhere, but not torch's numbers: its generator is another.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn: Arrays = {}
    for name, shape in expand(family.weights(spec)):
        if len(shape) == 1:
            fill = 0.0 if name.endswith(".bias") else 1.0
            drawn[name] = np.full(shape, fill, dtype=np.float32)
            continue
        narrow = math.sqrt(2 * spec.num_layers) if name.endswith(_RESIDUAL) else 1.0
        numbers = generator.standard_normal(shape, dtype=np.float32)
        drawn[name] = numbers * np.float32(spec.init_std / narrow)
    return drawn
