"""Whether a training run fits each device, by how much, and what would help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from engine.cost.chips import as_used
from engine.cost.limits import chip_batch, largest_batch, room_bytes, worst_bytes
from engine.cost.memory import Peak, fullest_of_batch, held_bytes
from engine.cost.remedies import possible_changes
from engine.cost.sharding import sharded_bytes
from engine.devices.card import Device, card_name
from engine.parameter import Value
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.words import binary_bytes, percent

Verdict = Literal["fits", "tight", "does not fit", "unknown"]
Placement = Literal["one chip", "data-parallel"]

TIGHT_FRACTION = 0.1
# Changes that leave what is learned as it is, or nearly so: tried one after the other, mildest
# first, for what makes a design fit.
_MILD = frozenset(("gradient_checkpointing", "loss_chunk", "precision", "optimizer"))
_HARSH = frozenset(("sgd", "sgd-momentum"))
# Of these what the worker of Tenstorrent cards has.
_ON_CARDS = frozenset(("gradient_checkpointing", "precision"))


@dataclass(frozen=True)
class Fit:
    """A verdict on one device.

    On a device with several chips everything is per chip. The verdict is for data-parallel
    training: each chip holds a whole copy of the model and works on its part of the batch.

    Attributes:
        device, title: the device's name, and what people call it.
        capacity_bytes: memory of one chip; None where it isn't known.
        needed_bytes: peak of the training step on one chip: tensors only.
        overhead_bytes: what the process and the driver take beside them.
        verdict: fits; tight (less than a tenth of the memory is left, or what other programs hold
            or the allocator may lose could be missing); does not fit; unknown.
        margin_bytes: what is left, negative where it is missing; None without a capacity.
        reason: what takes most of it, and what would help, in plain words.
        chip_batch: sequences that each chip works on.
        placement: how the run lies on the chips.
        sharded_bytes: peak on one chip where weights, gradients and optimizer state are divided
            among the chips, an upper estimate; None on one chip.
        sharded_verdict: the verdict on that; None likewise.
        kinds: what ``needed_bytes`` are taken for; they sum to it.
    """

    device: str
    title: str
    capacity_bytes: int | None
    needed_bytes: int
    verdict: Verdict
    margin_bytes: int | None
    reason: str
    chip_batch: int = 1
    overhead_bytes: int = 0
    placement: Placement = "one chip"
    sharded_bytes: int | None = None
    sharded_verdict: Verdict | None = None
    kinds: Mapping[str, int] = field(default_factory=dict, hash=False)


def fit(spec: ModelSpec, run: RunSpec, device: Device) -> Fit:
    """The verdict for a valid design and run on ``device``."""
    run, whole = _on_device(run, device.name), device
    device = as_used(device, run)
    batch = chip_batch(run.batch_size, device)
    peak = fullest_of_batch(spec, run, batch)
    needed = peak.bytes
    verdict = _verdict(needed, device)
    several = device.chips > 1
    sharded = sharded_bytes(spec, run, device.chips, batch) if several else None
    sharded_verdict = None if sharded is None else _verdict(sharded, device)
    sentences = [_dominating(peak)]
    if several:
        sentences.append(_split(run, device, batch))
    sentences += _advice(spec, run, device, needed, verdict)
    if verdict == "does not fit" and sharded is not None and sharded_verdict in ("fits", "tight"):
        sentences.append(_sharded(device, sharded, sharded_verdict))
    if whole.chips > device.chips:
        sentences.append(f"One of its {whole.chips} chips computes; tt-train uses all of them.")
    return Fit(
        device=device.name,
        title=device.title,
        capacity_bytes=device.chip_memory_bytes,
        needed_bytes=needed,
        verdict=verdict,
        margin_bytes=_margin(needed, device),
        reason=" ".join(sentences),
        chip_batch=batch,
        overhead_bytes=device.overhead_bytes,
        placement="data-parallel" if several else "one chip",
        sharded_bytes=sharded,
        sharded_verdict=sharded_verdict,
        kinds=peak.kinds,
    )


@lru_cache(maxsize=64)
def _on_device(run: RunSpec, name: str) -> RunSpec:
    return run.replace(device=name)


def _margin(needed: int, device: Device) -> int | None:
    capacity = device.chip_memory_bytes
    return None if capacity is None else capacity - device.overhead_bytes - needed


def _verdict(needed: int, device: Device) -> Verdict:
    margin, room = _margin(needed, device), room_bytes(device)
    if margin is None or room is None or device.chip_memory_bytes is None:
        return "unknown"
    if margin < 0:
        return "does not fit"
    sure = needed <= room and margin >= TIGHT_FRACTION * device.chip_memory_bytes
    return "fits" if sure else "tight"


def _advice(
    spec: ModelSpec, run: RunSpec, device: Device, needed: int, verdict: Verdict
) -> list[str]:
    """What follows from the verdict."""
    if verdict == "unknown":
        return [f"The memory of {device.title} is not known."]
    if verdict == "does not fit":
        return [_help(spec, run, device)]
    return [_why_tight(device, needed)] if verdict == "tight" else []


def _dominating(peak: Peak) -> str:
    kind = max(peak.kinds, key=lambda name: peak.kinds[name])
    share = percent(peak.kinds[kind] / peak.bytes)
    verb = "is" if kind == "optimizer" else "are"
    name = {"optimizer": "optimizer state"}.get(kind, kind)
    return f"{binary_bytes(peak.bytes)} at the peak; {name} {verb} {share} of it."


def _split(run: RunSpec, device: Device, batch: int) -> str:
    start = f"Data-parallel: a whole copy on each of {device.chips} chips"
    if run.batch_size % device.chips == 0:
        return f"{start}, with {batch:,} of the {run.batch_size:,} sequences."
    return (
        f"{start}; {run.batch_size:,} sequences cannot be split evenly among them, so one is "
        "counted with all."
    )


def _sharded(device: Device, needed: int, verdict: Verdict) -> str:
    fits = "fits" if verdict == "fits" else "just fits"
    return f"Sharded among the {device.chips} chips: at most {binary_bytes(needed)} each, {fits}."


def _why_tight(device: Device, needed: int) -> str:
    free, worst = device.free_bytes, worst_bytes(needed, device)
    if free is not None and needed + device.overhead_bytes > free:
        return f"Only {binary_bytes(free)} are free now: other programs hold the rest."
    if device.kind == "card" and device.allocator_slack:
        return f"What tt-train takes is an estimate: it may be up to {binary_bytes(worst)}."
    if worst > min(free or worst, device.chip_memory_bytes or worst):
        return f"Fragmentation may take it to {binary_bytes(worst)}, more than is free."
    return "Little is left for what the libraries take beside the tensors."


def _help(spec: ModelSpec, run: RunSpec, device: Device) -> str:
    """What would make it fit, mildest first."""
    batch = largest_batch(spec, run, device)
    if batch > 0:
        return f"A batch of {batch:,} fits."
    lighter = run
    for made, changes in _ladder(run):
        lighter = run.replace(**changes)
        batch = largest_batch(spec, lighter, device)
        if batch:
            return f"With {made} a batch of {batch:,} fits."
    held = held_bytes(spec, lighter)
    states = sum(held)
    limit = (device.chip_memory_bytes or 0) - device.overhead_bytes
    if states > limit:
        without = states - held.optimizer
        sgd = "" if without > limit or run.optimizer == "sgd" else "plain SGD or "
        return (
            f"Weights, gradients and optimizer state alone take {binary_bytes(states)} at least: "
            f"only {sgd}a smaller model helps."
        )
    return (
        "Not even one sequence surely fits: a shorter context or a smaller vocabulary would help."
    )


@lru_cache(maxsize=256)
def _ladder(run: RunSpec) -> tuple[tuple[str, dict[str, Value]], ...]:
    """Changes of the run that hardly change what is learned, each rung with those below it.

    With the words for all of them together. They are valid with every design.
    """
    mild = [
        change
        for change in possible_changes(ModelSpec(), run)
        if change.run
        and set(change.run) <= _MILD
        and change.run.get("optimizer") not in _HARSH
        and change.run.get("precision") != "bf16"
    ]
    # The optimizer that keeps least stands for all: they exclude each other.
    optimizers = [change for change in mild if "optimizer" in change.run]
    rungs: list[tuple[str, dict[str, Value]]] = []
    words: list[str] = []
    for change in mild:
        lacking = card_name(run.device) and not set(change.run) <= _ON_CARDS
        if change not in optimizers[:-1] and not lacking:
            named = "optimizer" in change.run  # after a person or a thing: keeps its capital
            words.append(change.words if named else change.words[0].lower() + change.words[1:])
            below = rungs[-1][1] if rungs else {}
            rungs.append((_and(words), below | change.run))
    return tuple(rungs)


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
