"""Memory of one chip when weights, gradients and optimizer state are divided among several.

Fully sharded data parallelism (Zhao et al. 2023, arXiv:2304.11277; ZeRO stage 3, Rajbhandari et al.
2020, arXiv:1910.02054): each chip keeps its part of everything, gathers the weights of a unit (a
block, the embedding, the head) when it comes to it, and scatters that unit's gradients when
they are there. Two units are gathered at a time: the one in work, and the next on its way.
"""

from __future__ import annotations

from engine.cost.memory import phase_lines
from engine.cost.parameters import ParameterCount, count
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
    peak = 0
    for line in phase_lines(spec, run):
        weights, gradients, optimizer, *activations = line.fixed
        fixed = _share(weights, chips) + _share(gradients, chips) + _share(optimizer, chips)
        growing = line.sequences(chip_batch) * line.slope
        peak = max(peak, fixed + gathered + whole_gradients + sum(activations) + growing)
    return peak


def _largest_unit(counted: ParameterCount) -> int:
    """Parameters of a block or of one of the tables, whichever are more."""
    tables = (counted.groups.get(name, 0) for name in ("embedding", "position", "head"))
    return max(sum(counted.block.values()), *tables)


def _share(size: int, chips: int) -> int:
    return -(-size // chips)
