"""Whether a training run fits each device, by how much, and what would help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.cost.memory import TrainingMemory, memory_of_batch, phase_lines
from engine.devices.card import Device
from engine.run_spec import RunSpec, run_parameters
from engine.spec import ModelSpec, model_parameters
from engine.words import binary_bytes, percent

Verdict = Literal["fits", "tight", "does not fit", "unknown"]

TIGHT_FRACTION = 0.1
# What the interpreter, torch and its libraries take of a shared memory beside the tensors.
_PROCESS_BYTES = 512 << 20
_MAX_BATCH = int(run_parameters()["batch_size"].maximum or 1)
_MAX_CONTEXT = int(model_parameters()["max_seq_len"].maximum or 1)


@dataclass(frozen=True)
class Fit:
    """A verdict on one device.

    On a device with several chips everything is per chip: each holds a whole copy of the model
    and works on its part of the batch.

    Attributes:
        device, title: the device's name, and what people call it.
        capacity_bytes: memory of one chip; None where it isn't known.
        needed_bytes: peak of the training step on one chip.
        verdict: fits; tight (less than a tenth of the memory is left); does not fit; unknown.
        margin_bytes: what is left, negative where it is missing; None without a capacity.
        reason: what takes most of it, and what would help, in plain words.
        chip_batch: sequences that each chip works on.
    """

    device: str
    title: str
    capacity_bytes: int | None
    needed_bytes: int
    verdict: Verdict
    margin_bytes: int | None
    reason: str
    chip_batch: int = 1


def fit(spec: ModelSpec, run: RunSpec, device: Device) -> Fit:
    """The verdict for a valid design and run on ``device``."""
    run = run.replace(device=device.name)
    batch = chip_batch(run.batch_size, device)
    memory = memory_of_batch(spec, run, batch)
    capacity, needed = device.chip_memory_bytes, memory.peak_bytes
    margin = None if capacity is None else capacity - needed
    verdict = _verdict(capacity, margin, device)
    return Fit(
        device=device.name,
        title=device.title,
        capacity_bytes=capacity,
        needed_bytes=needed,
        verdict=verdict,
        margin_bytes=margin,
        reason=_reason(spec, run, device, memory, verdict, batch),
        chip_batch=batch,
    )


def chip_batch(batch_size: int, device: Device) -> int:
    """Sequences on each chip: an equal part of the batch, or all where it can't be split evenly."""
    return batch_size // device.chips if batch_size % device.chips == 0 else batch_size


def largest_batch(spec: ModelSpec, run: RunSpec, device: Device) -> int:
    """The largest batch whose step fits the memory of ``device``, to the last sequence.

    0 where not even one fits. On several chips a multiple of their number. Unknown memory
    raises ValueError.
    """
    capacity, run = _capacity(device), run.replace(device=device.name)
    fitting = _MAX_BATCH // device.chips
    for line in phase_lines(spec, run):  # each phase is a straight line over the batch
        room = capacity - sum(line.fixed)
        if room < 0:
            return 0
        if line.slope > 0:
            fitting = min(fitting, room // line.slope)
    return fitting * device.chips


def largest_context(spec: ModelSpec, run: RunSpec, device: Device) -> int:
    """The longest context (and training sequence) that fits ``device`` with this batch.

    Found by bisection: memory never falls as the context grows. 0 where one token is too many.
    Unknown memory raises ValueError.
    """
    capacity = _capacity(device)
    batch = chip_batch(run.batch_size, device)
    whole = run.replace(seq_len=None, device=device.name)

    def fits(context: int) -> bool:
        longer = spec.replace(max_seq_len=context)
        return memory_of_batch(longer, whole, batch).peak_bytes <= capacity

    low, high = 0, _MAX_CONTEXT
    if fits(high):
        return high
    while high - low > 1:  # low fits (or is nothing), high does not
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _capacity(device: Device) -> int:
    if device.chip_memory_bytes is None:
        raise ValueError(f"the memory of {device.title} is not known")
    return device.chip_memory_bytes


def _verdict(capacity: int | None, margin: int | None, device: Device) -> Verdict:
    if capacity is None or margin is None:
        return "unknown"
    if margin < 0:
        return "does not fit"
    spare = TIGHT_FRACTION * capacity
    if device.kind != "card":
        spare = max(spare, _PROCESS_BYTES)
    return "tight" if margin < spare else "fits"


def _reason(
    spec: ModelSpec,
    run: RunSpec,
    device: Device,
    memory: TrainingMemory,
    verdict: Verdict,
    batch: int,
) -> str:
    sentences = [_dominating(memory)]
    if device.chips > 1:
        sentences.append(_split(run, device, batch))
    if verdict == "unknown":
        sentences.append(f"The memory of {device.title} is not known.")
    elif verdict == "does not fit":
        sentences.append(_help(spec, run, device, memory))
    elif verdict == "tight":
        sentences.append("Little is left for what the libraries take beside the tensors.")
    return " ".join(sentences)


def _dominating(memory: TrainingMemory) -> str:
    kind = max(memory.at_peak, key=lambda name: memory.at_peak[name])
    share = percent(memory.at_peak[kind] / memory.peak_bytes)
    verb = "is" if kind == "optimizer" else "are"
    name = {"optimizer": "optimizer state"}.get(kind, kind)
    return f"{binary_bytes(memory.peak_bytes)} at the peak; {name} {verb} {share} of it."


def _split(run: RunSpec, device: Device, batch: int) -> str:
    start = f"Each of the {device.chips} chips holds a whole copy"
    if run.batch_size % device.chips == 0:
        return f"{start} and {batch:,} of the {run.batch_size:,} sequences."
    return (
        f"{start}; a batch of {run.batch_size:,} cannot be split evenly among them, so one chip "
        "is counted with all of it."
    )


def _help(spec: ModelSpec, run: RunSpec, device: Device, memory: TrainingMemory) -> str:
    """What would make it fit, mildest first."""
    batch = largest_batch(spec, run, device)
    if batch > 0:
        return f"A batch of {batch:,} fits."
    states = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes
    if states > _capacity(device):
        return (
            f"Weights, gradients and optimizer state alone take {binary_bytes(states)}: only a "
            "smaller model helps."
        )
    lighter = run.replace(batch_size=device.chips)
    if not run.gradient_checkpointing:
        again = largest_batch(spec, lighter.replace(gradient_checkpointing=True), device)
        if again:
            return f"With gradient checkpointing a batch of {again:,} fits."
    return "Not even one sequence fits: a shorter context or a smaller vocabulary would help."
