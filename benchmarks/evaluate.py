"""Time to answer one slider tick: all costs of a design it has not seen, for every device.

The aim is a millisecond; a frame has sixteen. The clock includes what caches cannot help with,
since each call gets a design of its own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.measure import percentile
from engine.cost.calibration import Calibration, MeasuredStep, Speed
from engine.cost.evaluation import evaluate
from engine.cost.marginal import baseline, compare, marginal
from engine.cost.step_work import Work, step_work
from engine.devices.card import Device, load_cards
from engine.devices.host import cpu_device, host_devices
from engine.presets import preset
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.design.notches import run_values

_CALLS = 500
_DESIGNS = ("nano-trickster", "gpt2", "llama-3-8b")
_SIZES = ("hidden_dim", "num_layers", "num_heads", "mlp_dim", "max_seq_len", "vocab_size")
_MODEL = (*_SIZES, "num_kv_heads", "head_dim", "dropout")
_RUN = ("batch_size", "accumulation_steps", "seq_len", "steps")


def main() -> None:
    """Print median and 95th percentile for a small, a middling and a large design."""
    devices = (*host_devices(), *load_cards())
    cpu = cpu_device()
    measured = _calibration(cpu)
    print(f"{len(devices)} devices, {_CALLS} calls each, microseconds")
    print(f"{'':28}{'median':>8}{'p95':>8}")
    for name in _DESIGNS:
        design = preset(name)
        run = design.run
        _line(f"evaluate {name}", design.model, lambda spec, run=run: evaluate(spec, run, devices))
        _line(f"six rows {name}", design.model, lambda spec, run=run: _six_rows(spec, run))
        timed = run.replace(seq_len=run.sequence_length(design.model) // 2, precision="fp32")
        _line(
            f"whole panel {name}",
            design.model,
            lambda spec, run=timed: _whole_panel(spec, run, cpu, measured),
        )


def _six_rows(spec: ModelSpec, run: RunSpec) -> None:
    base = baseline(spec, run)
    assert base is not None
    for name in _SIZES:
        marginal(base, name)


def _whole_panel(spec: ModelSpec, run: RunSpec, cpu: Device, measured: Calibration) -> None:
    """What one more notch of every priced row costs in parameters, memory and measured time."""
    base = baseline(spec, run, cpu, measured)
    assert base is not None
    for name in _MODEL:
        marginal(base, name)
    for name in _RUN:
        values = run_values(name, run, spec)
        at = values.index(getattr(run, name))
        changed = run.replace(**{name: values[min(at + 1, len(values) - 1)]})
        compare(base, spec, changed.replace(device=cpu.name))


def _calibration(cpu: Device) -> Calibration:
    """As a measured computer has it: a price for each kind of work, and some steps and runs."""
    prices = Work(5e-6, 5e-5, 3e-12, 2e-11, 5e-6, 3e-10, 1e-12, 2e-11, 2e-11, 5e-11, 1e-10, 1e-9)
    designs = [preset(name) for name in ("first-minute", *_DESIGNS)]
    steps = tuple(
        MeasuredStep(step_work(design.model, design.run.replace(batch_size=batch), cpu.name), 0.1)
        for design in designs
        for batch in (1, 4, 16)
    )
    return Calibration((Speed("fp32", 2, prices, 0.05, steps),), {}, cpu.name, 1.0)


def _line(title: str, spec: ModelSpec, call: Callable[[ModelSpec], object]) -> None:
    times = [_microseconds(call, other) for other in _different(spec)]
    print(f"{title:28}{statistics.median(times):8.0f}{percentile(times, 95):8.0f}")


def _different(spec: ModelSpec) -> Iterator[ModelSpec]:
    for number in range(_CALLS):
        yield spec.replace(mlp_dim=spec.mlp_dim + number + 1)


def _microseconds(call: Callable[[ModelSpec], object], spec: ModelSpec) -> float:
    started = time.perf_counter()
    call(spec)
    return (time.perf_counter() - started) * 1e6


if __name__ == "__main__":
    main()
