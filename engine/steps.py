"""The useful values that a slider steps through, given the rest of the design.

A slider over every integer is useless: hidden sizes that no head count divides, vocabularies one
token apart. Each list here is sorted, legal by range, contains the present value, and (where
the rules tie parameters together) holds only values that make a valid design.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import lru_cache

from engine.parameter import Value
from engine.spec import ModelSpec, divisors, model_parameters

_VOCABULARIES = (
    64, 96, 128, 192, 256, 384, 512, 768, 1_000, 1_024, 1_536, 2_048, 3_072, 4_096, 6_144, 8_192,
    12_288, 16_384, 24_576, 32_000, 32_768, 40_960, 50_257, 50_304, 65_536, 100_352, 128_256,
    151_936, 200_064, 256_000, 262_144,
)  # fmt: skip
_LAYERS = (*range(1, 33), *range(34, 65, 2), *range(68, 129, 4))


def useful_values(name: str, spec: ModelSpec) -> tuple[Value, ...]:
    """Values that the control of parameter ``name`` steps through, the present one among them."""
    parameter = model_parameters()[name]
    present = getattr(spec, name)
    if parameter.kind == "flag":
        return (False, True)
    if parameter.kind == "choice":
        assert parameter.choices is not None
        return tuple(parameter.choices)
    values = _numbers(name, spec)
    low, high = parameter.minimum, parameter.maximum
    legal = {v for v in values if (low is None or v >= low) and (high is None or v <= high)}
    if present is not None:
        legal.add(present)
    ordered: tuple[Value, ...] = tuple(sorted(legal))
    return (None, *ordered) if parameter.optional else ordered


def next_notch(name: str, spec: ModelSpec, direction: int = 1) -> Value:
    """The useful value one notch above (or below) the present one; the present one at the end."""
    values = useful_values(name, spec)
    at = values.index(getattr(spec, name)) + direction
    return values[max(0, min(len(values) - 1, at))]


def _numbers(name: str, spec: ModelSpec) -> tuple[float, ...]:
    if name == "hidden_dim":
        return _hidden_sizes(_width_unit(spec))
    if name == "num_heads":
        return _head_counts(spec)
    if name == "num_kv_heads":
        return divisors(spec.num_heads)
    if name == "mlp_dim":
        return _mlp_sizes(spec.hidden_dim)
    if name in ("max_seq_len", "rope_original_seq_len"):
        return _contexts()
    fixed: dict[str, tuple[float, ...]] = {
        "vocab_size": _VOCABULARIES,
        "num_layers": _LAYERS,
        "head_dim": (8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 96, 112, 128, 160, 192, 256),
        "rope_theta": (100.0, 1e3, 1e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 5e6, 1e7),
        "rope_factor": (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0),
        "norm_eps": (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3),
        "dropout": (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
        "init_std": (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1),
    }
    return fixed[name]


def _width_unit(spec: ModelSpec) -> int:
    """Hidden sizes are multiples of this: of 32 (a tile) and, split among heads, of those."""
    if spec.head_dim is not None:
        return 32
    return math.lcm(32, 2 * spec.num_heads if spec.position == "rope" else spec.num_heads)


@lru_cache(maxsize=256)
def _hidden_sizes(unit: int) -> tuple[int, ...]:
    """Multiples of ``unit`` up to 16,384, coarser as they grow: never finer than 1/16 of a size."""
    sizes, size = [], unit
    while size <= 16_384:
        sizes.append(size)
        size += max(1, (1 << (size // 16).bit_length() >> 1) // unit) * unit
    return tuple(sizes)


def _head_counts(spec: ModelSpec) -> tuple[int, ...]:
    if spec.head_dim is not None:
        return (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128)
    even = spec.position == "rope"
    counts = divisors(spec.hidden_dim)
    return tuple(h for h in counts if h <= 256 and not (even and (spec.hidden_dim // h) % 2))


@lru_cache(maxsize=256)
def _mlp_sizes(hidden_dim: int) -> tuple[int, ...]:
    """From half to eight times the width, in sixteenths of it rounded up to a multiple of 32."""
    unit = max(32, -(-hidden_dim // 16 // 32) * 32)
    low = max(unit, hidden_dim // 2 // unit * unit)
    return tuple(range(low, 8 * hidden_dim + 1, unit))


@lru_cache(maxsize=1)
def _contexts() -> tuple[int, ...]:
    powers = [2**n for n in range(5, 21)]
    return tuple(sorted(powers + [p + p // 2 for p in powers[:-1]]))


def linked_changes(spec: ModelSpec, name: str, value: Value) -> dict[str, Value]:
    """What a person who moves slider ``name`` to ``value`` means to change with it.

    Key/value heads follow the heads (same grouping where it divides); nothing else moves by
    itself.
    """
    changes: dict[str, Value] = {name: value}
    if name == "num_heads" and isinstance(value, int) and value > 0:
        if spec.num_kv_heads == spec.num_heads:
            changes["num_kv_heads"] = value
        else:
            options = [k for k in divisors(value) if k <= spec.num_kv_heads]
            changes["num_kv_heads"] = options[-1]
    return changes


def position_of(values: tuple[Value, ...], value: float) -> int:
    """Index of the useful value nearest to ``value`` (None entries count as the first)."""
    numbers = [float(v) for v in values if isinstance(v, (int, float))]
    offset = len(values) - len(numbers)
    at = min(bisect_left(numbers, value), len(numbers) - 1)
    if at > 0 and value - numbers[at - 1] <= numbers[at] - value:
        at -= 1
    return at + offset
