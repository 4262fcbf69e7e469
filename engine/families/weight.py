"""One weight of a model: the unit that parameters, memory and FLOPs are counted in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

GROUPS = ("embedding", "position", "attention", "mlp", "norm", "head")
LAYER = "{layer}"


@dataclass(frozen=True)
class Weight:
    """A tensor of parameters, or the same tensor in each of ``copies`` blocks.

    ``name`` is that of the family's published checkpoints, with ``{layer}`` where the number of
    the block stands. A linear layer's ``shape`` is (out, in), as torch keeps it.
    """

    name: str
    group: str
    shape: tuple[int, ...]
    copies: int = 1

    @property
    def count(self) -> int:
        """Parameters of all copies together."""
        return math.prod(self.shape) * self.copies

    @property
    def in_block(self) -> bool:
        """Whether every block has one of these."""
        return LAYER in self.name


def expand(weights: Iterable[Weight]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every (name, shape) of a model, block after block, in the order of the forward pass."""
    before, block, after = _parts(tuple(weights))
    for weight in before:
        yield weight.name, weight.shape
    copies = block[0].copies if block else 0
    for layer in range(copies):
        for weight in block:
            yield weight.name.replace(LAYER, str(layer)), weight.shape
    for weight in after:
        yield weight.name, weight.shape


def _parts(weights: tuple[Weight, ...]) -> tuple[tuple[Weight, ...], ...]:
    block = tuple(weight for weight in weights if weight.in_block)
    assert len({weight.copies for weight in block}) <= 1, "all blocks are alike"
    first = weights.index(block[0]) if block else len(weights)
    return weights[:first], block, weights[first + len(block) :]
