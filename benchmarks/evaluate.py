"""Time to answer one slider tick: all costs of a design it has not seen, for every device.

The aim is a millisecond; a frame has sixteen. The clock includes what caches cannot help with,
since each call gets a design of its own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.measure import percentile
from engine.cost.evaluation import evaluate
from engine.cost.marginal import marginal
from engine.devices.card import load_cards
from engine.devices.host import host_devices
from engine.presets import preset
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

_CALLS = 500
_DESIGNS = ("nano-trickster", "gpt2", "llama-3-8b")


def main() -> None:
    """Print median and 95th percentile for a small, a middling and a large design."""
    devices = (*host_devices(), *load_cards())
    print(f"{len(devices)} devices, {_CALLS} calls each, microseconds")
    print(f"{'':28}{'median':>8}{'p95':>8}")
    for name in _DESIGNS:
        design = preset(name)
        run = design.run
        _line(f"evaluate {name}", design.model, lambda spec, run=run: evaluate(spec, run, devices))
        _line(f"marginal {name}", design.model, lambda spec, run=run: _all_marginals(spec, run))


def _all_marginals(spec: ModelSpec, run: RunSpec) -> None:
    for name in ("hidden_dim", "num_layers", "num_heads", "mlp_dim", "max_seq_len", "vocab_size"):
        marginal(spec, run, name)


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
