"""Memory of one chip when weights, gradients and optimizer state are divided among several.

Fully sharded data parallelism (Zhao et al. 2023, arXiv:2304.11277; ZeRO stage 3, Rajbhandari et al.
2020, arXiv:1910.02054): each chip keeps its part of everything, gathers the weights of a unit (a
block, the embedding, the head) when it comes to it, and scatters that unit's gradients when
they are there. Two units are gathered at a time: the one in work, and the next on its way.
"""

from __future__ import annotations

from engine.cost.memory import memory_of_batch, phase_lines
from engine.cost.parameters import ParameterCount, count
from engine.devices.card import card_name
from engine.run_spec import RunSpec
from engine.spec import ModelSpec


def sharded_bytes(spec: ModelSpec, run: RunSpec, chips: int, chip_batch: int) -> int:
    """Peak on one of ``chips`` chips that work on ``chip_batch`` sequences each: an estimate.

    An upper one: at every moment all of a unit's gradients count as whole. Buffers of the
    network between the chips come on top.
    """
    counted = count(spec)
    number = 2 if run.precision == "bf16" else 4
    gathered = 2 * number * _largest_unit(counted)
    whole_gradients = number * _largest_unit(counted)
    divided, rest = _fullest(spec, run, chips, chip_batch)
    return divided + rest + gathered + whole_gradients


def _fullest(spec: ModelSpec, run: RunSpec, chips: int, chip_batch: int) -> tuple[int, int]:
    """What of the fullest moment is divided among the chips, one chip's share, and the rest."""
    found = []
    if card_name(run.device):
        for phase in memory_of_batch(spec, run, chip_batch).phases:
            *shared, activations, logits = phase.kinds.values()
            found.append((sum(_share(size, chips) for size in shared), activations + logits))
    else:
        for line in phase_lines(spec, run):
            *shared, activations, logits = line.fixed
            growing = line.sequences(chip_batch) * line.slope
            share = sum(_share(size, chips) for size in shared)
            found.append((share, activations + logits + growing))
    return max(found, key=sum)


def _largest_unit(counted: ParameterCount) -> int:
    """Parameters of a block or of one of the tables, whichever are more."""
    tables = (counted.groups.get(name, 0) for name in ("embedding", "position", "head"))
    return max(sum(counted.block.values()), *tables)


def _share(size: int, chips: int) -> int:
    return -(-size // chips)
