"""Useful values of the run settings, which the engine declares by range alone.

Derived from the declaration: a 1-2-5 series where the range spans decades, even steps where it is
a share, doubling where a setting counts sequences or tokens.
"""

from __future__ import annotations

import math
from functools import lru_cache

from engine.parameter import Parameter, Value
from engine.run_spec import RunSpec, run_parameters
from engine.spec import ModelSpec
from engine.steps import useful_values

# Where useful values lie, inside the wider range that is legal.
_USEFUL: dict[str, tuple[float, float]] = {
    "batch_size": (1, 512),
    "accumulation_steps": (1, 128),
    "seq_len": (32, 131_072),
    "steps": (50, 1_000_000),
    "learning_rate": (1e-5, 1e-1),
    "warmup_steps": (0, 20_000),
    "weight_decay": (0.001, 1.0),
    "grad_clip": (0.1, 10.0),
    "patience": (0, 50),
    "threads": (1, 128),
    "log_every": (1, 1_000),
    "validate_every": (0, 10_000),
    "validation_tokens": (10_000, 10_000_000),
    "sample_every": (0, 10_000),
    "sample_tokens": (10, 2_000),
    "top_k": (0, 1_000),
    "save_every": (0, 50_000),
    "keep_best": (0, 20),
    "beta1": (0.0, 0.99),
    "beta2": (0.9, 0.9999),
}
_DOUBLING = {"batch_size", "accumulation_steps", "seq_len", "threads"}
_BETAS = (0.0, 0.5, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)
_EVERY_INTEGER = 20


def run_values(name: str, run: RunSpec, model: ModelSpec) -> tuple[Value, ...]:
    """Values that the slider of run setting ``name`` steps through, the present one among them."""
    parameter = run_parameters()[name]
    present = getattr(run, name)
    found = set(_series(name))
    if name == "seq_len":
        found = {value for value in found if value <= model.max_seq_len} | {model.max_seq_len}
    if present is not None:
        found.add(present)
    ordered: tuple[Value, ...] = tuple(sorted(found))
    return (None, *ordered) if parameter.optional else ordered


@lru_cache(maxsize=64)
def _series(name: str) -> tuple[int | float, ...]:
    parameter = run_parameters()[name]
    assert parameter.minimum is not None
    assert parameter.maximum is not None
    low, high = _USEFUL.get(name, (parameter.minimum, parameter.maximum))
    if name in ("beta1", "beta2"):
        return tuple(beta for beta in _BETAS if low <= beta <= high)
    if name in _DOUBLING:
        return _doubling(int(low), int(high))
    if parameter.kind == "number":
        return _numbers(parameter, low, high)
    return _integers(int(low), int(high))


def _doubling(low: int, high: int) -> tuple[int, ...]:
    powers = [2**n for n in range(int(math.log2(high)) + 1)]
    values = {*powers, *(p + p // 2 for p in powers if p > 1)}
    return tuple(sorted(v for v in values if low <= v <= high))


def _integers(low: int, high: int) -> tuple[int, ...]:
    if high - low <= _EVERY_INTEGER:
        return tuple(range(low, high + 1))
    return tuple(sorted({low, *(int(v) for v in _one_two_five(max(1, low), high))}))


def _numbers(parameter: Parameter, low: float, high: float) -> tuple[float, ...]:
    if high / max(low, 1e-12) < 1_000 and high <= 1:
        return tuple(round(0.05 * n, 2) for n in range(int(low / 0.05 + 0.5), int(high / 0.05) + 1))
    if low <= 0:
        zero_to = min(high, 2.0)
        return tuple(round(0.1 * n, 1) for n in range(int(zero_to * 10) + 1))
    values = _one_two_five(low, high)
    return (0.0, *values) if parameter.minimum == 0 else values


def _one_two_five(low: float, high: float) -> tuple[float, ...]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    digits = (1, 1.5, 2, 3, 5, 7)
    values = (float(f"{d}e{n}") for n in range(first, last + 1) for d in digits)
    return tuple(v for v in values if low <= v <= high and (low < 1 or v == int(v)))


def model_values(name: str, model: ModelSpec) -> tuple[Value, ...]:
    """Values that the slider of model parameter ``name`` steps through."""
    return useful_values(name, model)
