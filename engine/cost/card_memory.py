"""What a run takes of the memory of a Tenstorrent card, exactly, as its own operations take it.

Counted are tensors. What a kernel of ttnn takes for itself within an operation is not known; ttnn's
allocator on its mock devices agrees with this count to the byte.
"""

from __future__ import annotations

from functools import lru_cache

from engine.card_graph.recording import Recording, recording
from engine.card_graph.tensor import whole_tiles
from engine.cost.card_course import CardCourse
from engine.cost.passes import sampling_pass
from engine.devices.card import card_name, load_cards
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

# Optimizers that a card has. A run with another is refused before it starts; until then it is
# counted as if it had the first, which keeps the most.
_OPTIMIZERS = ("adamw", "sgd-momentum", "sgd")


def banks_of(device: str) -> int:
    """Banks of one chip's DRAM of the card ``device`` ("n150:0"); ValueError for no such card."""
    name = card_name(device).partition(":")[0]
    for card in load_cards():
        if card.name == name:
            return card.banks
    raise ValueError(f"{device[:40]!r} is not a Tenstorrent card")


def card_peak(spec: ModelSpec, run: RunSpec, batch_size: int) -> int:
    """The most bytes that a run takes of a chip of its card, with so many sequences a batch.

    The device of the run must be a card.
    """
    return _peak(card_course(spec, run), batch_size)


def largest_card_batch(spec: ModelSpec, run: RunSpec, room: int, most: int) -> int:
    """The largest batch up to ``most`` whose run takes no more than ``room`` bytes; 0: none."""
    course = card_course(spec, run)

    def peak(batch: int) -> int:
        return _peak(course, batch)

    if peak(1) > room:
        return 0
    batch = 1
    for _ in range(8):
        # The highest of straight lines, but for whole banks: a tangent leads to the right place or
        # beyond it, and from beyond it another leads back.
        size = peak(batch)
        slope = peak(batch + 1) - size
        further = (room - size) // slope if slope > 0 else most
        nearer, batch = batch, max(1, min(most, batch + further))
        if batch == nearer:
            break
    while peak(batch) > room:
        batch -= 1
    while batch < most and peak(batch + 1) <= room:
        batch += 1
    return batch


def as_counted(run: RunSpec) -> RunSpec:
    """The run with an optimizer that cards have, in place of one that they lack."""
    return run if run.optimizer in _OPTIMIZERS else run.replace(optimizer=_OPTIMIZERS[0])


def card_course(spec: ModelSpec, run: RunSpec) -> CardCourse:
    """The memory of a chip of the run's card in the course of the run; kept."""
    run = as_counted(run)
    length = whole_tiles(run.sequence_length(spec))
    text = max(length, whole_tiles(sampling_pass(spec, run).held))
    return _kept_course(spec, recording(spec, run), length, text, banks_of(run.device))


@lru_cache(maxsize=256)
def _kept_course(
    spec: ModelSpec, recording: Recording, length: int, text: int, banks: int
) -> CardCourse:
    return CardCourse(spec, recording, length, text, banks)


@lru_cache(maxsize=1024)
def _peak(course: CardCourse, batch_size: int) -> int:
    return course.peak(batch_size)
