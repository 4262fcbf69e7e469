"""The truth about a card's memory: every operation of an update gone through, with shapes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.card_graph.layout import placements
from engine.card_graph.ops import Ops
from engine.card_graph.shape_kernels import NO_ARRAY, Blank, ShapeKernels
from engine.card_graph.update import Updater
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
    each layer and micro-batch and 20 for each weight, a few microseconds each: it takes 10 to
    100 ms. engine.cost.card_memory answers the same from recordings.
    """
    ops = Ops(ShapeKernels(), banks)
    updater = Updater(spec, run, ops, dict.fromkeys(placements(spec), NO_ARRAY))
    ids: Any = Blank((run.batch_size, run.sequence_length(spec)))
    # Two micro-batches have all moments of more: gradients of earlier ones are there or not.
    parts = min(run.accumulation_steps, 2)
    updater.decoder.prepare(ids.shape[1])
    resident = ops.ledger.live_bytes
    ops.ledger.watch()
    told = [updater.gradients([(ids, ids)] * parts, run.accumulation_steps), updater.clip()]
    updater.apply(run.learning_rate)
    ops.free(*told)
    assert ops.ledger.live_bytes == resident, "an update leaves nothing behind"
    return PeakMemory(resident, ops.ledger.peak_bytes)
