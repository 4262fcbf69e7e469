"""How many operations an update makes on a card: each is started by the host, one after the other.

For small models that takes longer than the card needs to compute.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from engine.card_graph.recording import Pass, Recording, Tape, recording
from engine.cost.card_memory import as_counted
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

# Operations that make the factor of engine.card_graph.optimizers.clip; a test counts the calls.
_OF_FACTOR = 5


class _Counts(NamedTuple):
    """Operations of an update: of the first micro-batch, each further one, and of the weights;
    those of every layer beyond the first stand beside."""

    first: int
    first_layer: int
    further: int
    further_layer: int
    weights: int
    weights_layer: int


def operations_of_update(spec: ModelSpec, run: RunSpec) -> int:
    """Operations that make a tensor in one update: all of the graph but views.

    An optimizer that cards lack is counted as AdamW.
    """
    recorded = recording(spec, as_counted(run))
    counts, more = _counts(recorded, run.grad_clip > 0), spec.num_layers - 1
    return (
        counts.first + counts.first_layer * more
        + (counts.further + counts.further_layer * more) * (run.accumulation_steps - 1)
        + counts.weights + counts.weights_layer * more
    )  # fmt: skip


@lru_cache(maxsize=512)
def _counts(recorded: Recording, clipped: bool) -> _Counts:
    first, last = recorded.passes[0], recorded.passes[-1]
    outside = (*recorded.before, *recorded.after)
    # The gradient's length, and its cut: the same for each weight of the two layers recorded, but
    # for the factor of the cut.
    factor = _OF_FACTOR if clipped else 0
    weights = len(outside) + 2 * len(recorded.layer)
    of_weight, rest = divmod(_made((recorded.clip,)) - factor, weights)
    assert not rest, "the gradient's length takes the same of each weight"
    layer = _made(update.tape for update in recorded.layer) + of_weight * len(recorded.layer)
    once = _made((recorded.numbers, *(update.tape for update in outside)))
    once += factor + of_weight * len(outside)
    return _Counts(_once(first), _layer(first), _once(last), _layer(last), once + layer, layer)


def _once(a_pass: Pass) -> int:
    """Of a pass through one layer."""
    return _made(
        (a_pass.start, a_pass.last_forward, a_pass.loss, a_pass.head_backward,
         a_pass.last_backward, a_pass.embedding_backward, a_pass.after)
    )  # fmt: skip


def _layer(a_pass: Pass) -> int:
    return _made((a_pass.forward, a_pass.backward))


def _made(tapes: Iterable[Tape]) -> int:
    return sum(1 for tape in tapes for number in tape if number > 0)
