"""Parameters: exact, by component, each with its formula filled in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from engine.families.decoder import weights
from engine.families.weight import GROUPS, Weight
from engine.spec import ModelSpec


@dataclass(frozen=True)
class ParameterCount:
    """All parameters of a model. A tied matrix counts once, as embedding.

    Attributes:
        total: every parameter.
        groups: parameters by component (``GROUPS`` in that order, only those that are there).
        block: parameters of one block, by component.
        embedding: token and position tables (and a head of its own).
        non_embedding: the rest: what scaling laws count.
        weights: the list that all of these were added up from.
    """

    total: int
    groups: dict[str, int]
    block: dict[str, int]
    embedding: int
    non_embedding: int
    weights: tuple[Weight, ...]


@lru_cache(maxsize=512)
def count(spec: ModelSpec) -> ParameterCount:
    """Count the parameters of a valid design."""
    listed = weights(spec)
    groups = dict.fromkeys(GROUPS, 0)
    block = dict.fromkeys(GROUPS, 0)
    for weight in listed:
        size = math.prod(weight.shape)
        groups[weight.group] += size * weight.copies
        if weight.in_block:
            block[weight.group] += size
    total = sum(groups.values())
    tables = groups["embedding"] + groups["position"] + groups["head"]
    return ParameterCount(
        total=total,
        groups={name: number for name, number in groups.items() if number},
        block={name: number for name, number in block.items() if number},
        embedding=tables,
        non_embedding=total - tables,
        weights=listed,
    )


def formula(group: str, spec: ModelSpec) -> str:
    """How the parameters of ``group`` come about, with numbers: ``256 × 256 = 65,536``.

    ``L × (…)`` stands for the blocks. A matrix reads out·in, as its weight is shaped; biases
    and norms are plain widths. Groups without parameters say ``0``.
    """
    block, single, layers = [], [], 1
    for weight in weights(spec):
        if weight.group != group:
            continue
        if weight.in_block:
            layers = weight.copies
            block.append(weight)
        else:
            single.append(weight)
    parts = []
    if block:
        terms = _terms(block)
        parts.append(f"{layers:,} × ({terms})" if "+" in terms else f"{layers:,} × {terms}")
    if single:
        parts.append(_terms(single, times=" × "))
    total = sum(weight.count for weight in block + single)
    if not parts:
        return "0"
    left = " + ".join(parts)
    right = f"{total:,}"
    return left if left == right else f"{left} = {right}"


def _terms(listed: list[Weight], times: str = "·") -> str:
    """A sum of products; neighbours of the same size are joined: ``2·64·256``."""
    sizes: dict[tuple[int, ...], int] = {}
    for weight in listed:
        shape = tuple(sorted(weight.shape))
        sizes[shape] = sizes.get(shape, 0) + 1
    texts = []
    for shape, number in sizes.items():
        factors = [number, *shape] if number > 1 else list(shape)
        texts.append(times.join(f"{factor:,}" for factor in factors))
    return " + ".join(texts)
