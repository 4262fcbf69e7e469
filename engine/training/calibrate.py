"""Measures how fast this computer trains, so that times can be predicted before a run."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import torch

from engine.backends.torch_backend import TorchBackend, open_backend
from engine.cost.calibration import (
    Calibration,
    CalibrationError,
    Point,
    load_calibration,
    save,
)
from engine.cost.time import work_per_batch
from engine.devices.host import cpu_name, usable_cores
from engine.models.decoder import build
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.loop import Parts
from engine.training.update import Learner

_KEPT_POINTS = 64
_SECONDS_FOR_A_SHAPE = 1.2
_MOST_STEPS = 40


def _shape(width: int, layers: int, seq_len: int, vocab_size: int) -> ModelSpec:
    heads = max(2, width // 32)
    return ModelSpec(
        hidden_dim=width, num_layers=layers, num_heads=heads, num_kv_heads=heads,
        mlp_dim=4 * width, activation="gelu", max_seq_len=seq_len, vocab_size=vocab_size,
    )  # fmt: skip


# (model, batch): from the smallest step worth a thought to one of about a second on two cores.
SHAPES = (
    (_shape(32, 2, 32, 65), 4),
    (_shape(64, 2, 64, 65), 8),
    (_shape(128, 4, 64, 65), 12),
    (_shape(192, 4, 128, 256), 12),
    (_shape(256, 6, 256, 256), 8),
)


def machine() -> dict[str, str | int]:
    """What a calibration belongs to."""
    return {"cpu": cpu_name(), "cores": usable_cores(), "torch": str(torch.__version__)}


def calibrate(device: str = "cpu", precision: str = "fp32") -> Calibration:
    """Measure real training steps of a few shapes (about 6 s on two cores), save and return them.

    Points of other precisions are kept. Raises SpecError for a device or precision that is not
    there, OSError where the file cannot be written.
    """
    backend = open_backend(device, precision)
    points = [measure(backend, spec, batch_size) for spec, batch_size in SHAPES]
    calibration = _merged(str(backend.device), points)
    save(calibration)
    return calibration


def measure(backend: TorchBackend, spec: ModelSpec, batch_size: int) -> Point:
    """The median time of real training steps of ``spec`` with ``batch_size`` full sequences."""
    run = RunSpec(batch_size=batch_size, precision=backend.precision)
    model = build(spec, device=backend.device, dtype=backend.weight_dtype, seed=0)
    model.attention_in_fp32 = backend.attention_in_fp32
    learner = Learner(model, run, backend.autocast)
    tokens = torch.arange(batch_size * spec.max_seq_len, device=backend.device) % spec.vocab_size
    batch = tokens.view(batch_size, -1)
    seconds: list[float] = []
    limit = time.perf_counter() + _SECONDS_FOR_A_SHAPE
    while len(seconds) < 3 or (len(seconds) < _MOST_STEPS and time.perf_counter() < limit):
        began = time.perf_counter()
        learner.gradients([(batch, batch)], 1)
        learner.clip()
        learner.apply(1e-3)
        backend.synchronize()
        seconds.append(time.perf_counter() - began)
    return _point(spec, run, statistics.median(seconds[1:]), backend)


def _point(spec: ModelSpec, run: RunSpec, step_s: float, backend: TorchBackend) -> Point:
    """A point counts one micro-batch, which is what sets the speed."""
    micros = run.accumulation_steps
    return Point(
        flops_per_step=work_per_batch(spec, run, str(backend.device)),
        seconds=step_s / micros,
        tokens_per_step=run.tokens_per_step(spec) // micros,
        precision=backend.precision,
        threads=torch.get_num_threads() if backend.device.type == "cpu" else 0,
    )


def remember_speed(parts: Parts, step_s: float | None) -> None:
    """Add a run's own measured speed to the calibration, in place of an older one of its size.

    A calibration that cannot be read or written is left as it is: it is no reason for a run
    that went well to fail.
    """
    run = parts.run
    if step_s is None or run.gradient_checkpointing:
        return
    try:
        save(_merged(str(parts.backend.device), [_point(parts.spec, run, step_s, parts.backend)]))
    except (CalibrationError, OSError):
        return


def _merged(device: str, new: list[Point]) -> Calibration:
    earlier = load_calibration(device)
    here = machine()
    if earlier is None or dict(earlier.machine) != here:
        return Calibration(tuple(new), here, device, time.time())
    replaced = {_identity(point) for point in new}
    kept = [point for point in earlier.points if _identity(point) not in replaced]
    points = tuple((kept + new)[-_KEPT_POINTS:])
    return replace(earlier, points=points, created=time.time())


def _identity(point: Point) -> tuple[int, int, str, int]:
    return point.flops_per_step, point.tokens_per_step, point.precision, point.threads
