"""How much of a card's memory a training step takes, counted without computing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.backends.tenstorrent.kernels import Array
from engine.backends.tenstorrent.layout import placements
from engine.backends.tenstorrent.learner import Learner
from engine.backends.tenstorrent.ops import Ops
from engine.backends.tenstorrent.shape_kernels import ShapeKernels
from engine.run_spec import RunSpec
from engine.spec import ModelSpec


@dataclass(frozen=True)
class PeakMemory:
    """Bytes on the card.

    ``resident_bytes``: weights, their copies, optimizer state and tables, between two updates.
    ``peak_bytes``: the most at any moment of an update, those included. Tensors in whole tiles
    only: what ttnn needs inside an operation is not known.
    """

    resident_bytes: int
    peak_bytes: int


def graph_peak_memory(spec: ModelSpec, run: RunSpec, banks: int = 1) -> PeakMemory:
    """The memory of an update, by going through its very operations with shapes alone.

    ``banks`` of DRAM: 12 on an n150 and 8 on a p150, as ttnn says.
    The design must be one that ``unsupported`` says nothing about. Operations are some 150 for
    each layer and micro-batch and 20 for each weight, a few microseconds each.
    """
    ops = Ops(ShapeKernels(), banks)
    learner = Learner(spec, run, ops, _weights(spec))
    ids = np.broadcast_to(np.int64(0), (run.batch_size, run.sequence_length(spec)))
    # Two micro-batches have all moments of more: gradients of earlier ones are there or not.
    parts = min(run.accumulation_steps, 2)
    learner.decoder.prepare(ids.shape[1])
    resident = ops.ledger.live_bytes
    ops.ledger.watch()
    told = [learner.gradients([(ids, ids)] * parts, run.accumulation_steps), learner.clip()]
    learner.apply(run.learning_rate)
    ops.free(*told)
    assert ops.ledger.live_bytes == resident, "an update leaves nothing behind"
    return PeakMemory(resident, ops.ledger.peak_bytes)


def _weights(spec: ModelSpec) -> Mapping[str, Array]:
    """Arrays of the right shapes that take no memory."""
    zero = np.float32(0)
    return {name: np.broadcast_to(zero, place.shape) for name, place in placements(spec).items()}
