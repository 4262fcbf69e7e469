"""What fits a device at most: the largest batch, the longest context."""

from __future__ import annotations

from engine.cost.card_memory import largest_card_batch
from engine.cost.chips import as_used
from engine.cost.memory import peak_of_batch, phase_lines
from engine.cost.parameters import count
from engine.devices.card import Device, card_name
from engine.run_spec import RunSpec, run_parameters
from engine.spec import ModelSpec, model_parameters

_MAX_BATCH = int(run_parameters()["batch_size"].maximum or 1)
_MAX_CONTEXT = int(model_parameters()["max_seq_len"].maximum or 1)


def room_bytes(device: Device) -> int | None:
    """Bytes of tensors that surely fit one chip of ``device``; None where its memory is unknown.

    What the process and the driver take is left out; on this computer also what other programs
    hold now, and what the allocator may lose to fragmentation.
    """
    capacity = device.chip_memory_bytes
    if capacity is None:
        return None
    if device.free_bytes is not None:
        capacity = min(capacity, device.free_bytes)
    left = max(0, capacity - device.overhead_bytes)
    return max(int(left / (1 + device.allocator_slack)), left - device.allocator_slack_bytes)


def worst_bytes(needed: int, device: Device) -> int:
    """What a step of ``needed`` bytes of tensors may take of ``device`` at worst."""
    lost = min(int(needed * device.allocator_slack), device.allocator_slack_bytes)
    return needed + lost + device.overhead_bytes


def chip_batch(batch_size: int, device: Device) -> int:
    """Sequences on each chip: an equal part of the batch, or all where it can't be split evenly."""
    return batch_size // device.chips if batch_size % device.chips == 0 else batch_size


def largest_batch(spec: ModelSpec, run: RunSpec, device: Device) -> int:
    """The largest batch whose step surely fits the memory of ``device``, to the last sequence.

    0 where not even one fits. On several chips a multiple of their number. Unknown memory
    raises ValueError.
    """
    device = as_used(device, run)
    room = _room(device)
    if run.device != device.name:
        run = run.replace(device=device.name)
    if count(spec).total * _least_bytes(run) > room:  # saves following the whole step
        return 0
    fitting = _MAX_BATCH // device.chips
    if card_name(device.name):
        return _largest_on_card(spec, run, room, fitting) * device.chips
    for line in phase_lines(spec, run):
        largest = line.largest_batch(room)
        if largest is not None:
            fitting = min(fitting, largest)
    return fitting * device.chips


def _largest_on_card(spec: ModelSpec, run: RunSpec, room: int, most: int) -> int:
    """The largest batch of one chip, up to ``most``."""
    if run.card_backend != "tt-train":
        return largest_card_batch(spec, run, room, most)
    low, high = 0, most + 1  # low fits (or is nothing), high does not
    while high - low > 1:
        middle = (low + high) // 2
        fits = peak_of_batch(spec, run, middle) <= room
        low, high = (middle, high) if fits else (low, middle)
    return low


def _least_bytes(run: RunSpec) -> int:
    """Bytes a parameter that an update holds whatever the optimizer: weight and gradient.

    In pure bf16 the 16-bit weight and its fp32 copy; in tt-train the 16-bit weight and gradient.
    """
    if run.card_backend == "tt-train" and card_name(run.device):
        return 4
    return 6 if run.precision == "bf16" else 8


def largest_context(spec: ModelSpec, run: RunSpec, device: Device) -> int:
    """The longest context (and training sequence) that surely fits ``device`` with this batch.

    Found by bisection: memory never falls as the context grows. 0 where one token is too many.
    Unknown memory raises ValueError.
    """
    device = as_used(device, run)
    room = _room(device)
    batch = chip_batch(run.batch_size, device)
    whole = run.replace(seq_len=None, device=device.name)

    def fits(context: int) -> bool:
        longer = spec.replace(max_seq_len=context)
        return peak_of_batch(longer, whole, batch) <= room

    low, high = 0, _MAX_CONTEXT
    if fits(high):
        return high
    while high - low > 1:  # low fits (or is nothing), high does not
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _room(device: Device) -> int:
    room = room_bytes(device)
    if room is None:
        raise ValueError(f"the memory of {device.title} is not known")
    return room
