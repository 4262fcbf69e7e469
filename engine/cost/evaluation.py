"""Everything that a design and a run cost, in one call that answers a slider tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.cost.cache import WEIGHT_FORMATS, kv_cache_bytes_per_token, weight_bytes
from engine.cost.calibration import Calibration
from engine.cost.chips import as_used
from engine.cost.duration import run_time
from engine.cost.fit import Fit, fit
from engine.cost.flops import Flops, flops_per_token
from engine.cost.limits import chip_batch
from engine.cost.memory import TrainingMemory, memory_of_batch
from engine.cost.optimizer_memory import state_bytes
from engine.cost.parameters import ParameterCount, count
from engine.cost.time import Estimate, compute_optimal_tokens, predicted_step
from engine.devices.card import Device
from engine.run_spec import RunSpec
from engine.spec import ModelSpec


@dataclass(frozen=True)
class Cost:
    """What a design costs.

    Attributes:
        parameters: every parameter, by component.
        flops: FLOPs a token at the run's sequence length.
        kv_cache_bytes_per_token: at 16 bits.
        memory: of a training step on one device; on one chip where chips share the batch.
        chip_batch: sequences in that step: the whole batch, or the part of one chip.
        fits: a verdict for each device, in their order.
        device: the one that the run would go to (``run.device`` among those given); None
            where it is not among them.
        step: time of one update there; None where nothing is known of its speed.
        total_seconds: time of the run, its steps, validations and samples; None likewise.
        run_tokens: tokens that the run learns from, repeated ones counted again.
        optimal_tokens: tokens that would make the best of this size: 20 a parameter.
        run_flops: training FLOPs of the whole run.
        inference_bytes: bytes of the weights by number format, for using the model.
        checkpoint_bytes: size of a checkpoint's weights (always fp32) and optimizer state on disk.
    """

    parameters: ParameterCount
    flops: Flops
    kv_cache_bytes_per_token: int
    memory: TrainingMemory
    chip_batch: int
    fits: tuple[Fit, ...]
    device: str | None
    step: Estimate | None
    total_seconds: Estimate | None
    run_tokens: int
    optimal_tokens: int
    run_flops: int
    inference_bytes: dict[str, int]
    checkpoint_bytes: int


def evaluate(
    spec: ModelSpec,
    run: RunSpec,
    devices: Sequence[Device],
    calibration: Calibration | None = None,
) -> Cost:
    """All costs of a valid design and run (``spec.check`` and ``run_spec.check_run`` first)."""
    parameters = count(spec)
    flops = flops_per_token(spec, run.sequence_length(spec))
    device = chosen_device(run, devices)
    if device is not None:
        run = run.replace(device=device.name)  # "auto" would hide what the CPU does its own way
    on_chip = _chip_batch(run, device)
    step = None if device is None else predicted_step(spec, run, device, calibration)
    here = None if device is None or device.kind == "card" else calibration
    run_tokens = run.tokens_per_step(spec) * run.steps
    return Cost(
        parameters=parameters,
        flops=flops,
        kv_cache_bytes_per_token=kv_cache_bytes_per_token(spec),
        memory=memory_of_batch(spec, run, on_chip),
        chip_batch=on_chip,
        fits=tuple(fit(spec, run, device) for device in devices),
        device=None if device is None else device.name,
        step=step,
        total_seconds=None if step is None else run_time(spec, run, step, here),
        run_tokens=run_tokens,
        optimal_tokens=compute_optimal_tokens(parameters.total),
        run_flops=flops.training * run_tokens,
        inference_bytes={name: weight_bytes(spec, name) for name in WEIGHT_FORMATS},
        checkpoint_bytes=4 * parameters.total + state_bytes(run.optimizer, parameters.weights),
    )


def _chip_batch(run: RunSpec, device: Device | None) -> int:
    """Sequences on one chip of the device that the run goes to."""
    return run.batch_size if device is None else chip_batch(run.batch_size, as_used(device, run))


def chosen_device(run: RunSpec, devices: Sequence[Device]) -> Device | None:
    """The device among ``devices`` that the run names; ``auto``: CUDA, then MPS, then CPU."""
    wanted = run.device.strip().lower()
    if wanted == "auto":
        for kind in ("cuda", "mps", "cpu"):
            for device in devices:
                if device.kind == kind:
                    return device
        return None
    for device in devices:
        if device.name == wanted or (wanted == "cuda" and device.kind == "cuda"):
            return device
    base = wanted.partition(":")[0]
    return next((d for d in devices if d.kind == "card" and d.name == base), None)
