"""Where a run stands: everything beside weights and optimizer state that a resume needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.run_directory import RunDirectoryError


class CheckpointError(RunDirectoryError):
    """A checkpoint that cannot be written or read; the message names the file and the reason."""


@dataclass(frozen=True)
class Progress:
    """A run after ``step`` updates.

    ``validated_step`` and ``sampled_step`` name the last step at which that was done, so that a
    resumed run neither repeats nor skips one. ``compile_from`` is the step from which compiled
    code computes (None: never), since it rounds differently. ``random_states`` are those of
    engine.backends, ``validation_loss`` is the one measured at this very step, ``memory_bytes``
    the measured peak so far.
    """

    step: int = 0
    tokens: int = 0
    segment: int = 1
    best_validation_loss: float | None = None
    best_step: int | None = None
    validations_since_best: int = 0
    validation_loss: float | None = None
    validated_step: int | None = None
    sampled_step: int | None = None
    compile_from: int | None = None
    memory_bytes: int | None = None
    random_states: Mapping[str, str] = field(default_factory=dict)

    def replace(self, **changes: Any) -> Progress:
        """A copy with ``changes``."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return dataclasses.asdict(self)


_LARGEST = 1e300
_COUNTS = ("step", "tokens", "segment", "validations_since_best")
_OPTIONAL_COUNTS = ("best_step", "validated_step", "sampled_step", "compile_from", "memory_bytes")
_OPTIONAL_LOSSES = ("best_validation_loss", "validation_loss")


def progress_from_dict(values: Mapping[str, Any]) -> Progress:
    """Read what ``to_dict`` wrote; raise CheckpointError for wrong or missing values."""
    found: dict[str, Any] = {}
    for name in _COUNTS:
        found[name] = _count(name, values.get(name))
    for name in _OPTIONAL_COUNTS:
        value = values.get(name)
        found[name] = None if value is None else _count(name, value)
    for name in _OPTIONAL_LOSSES:
        value = values.get(name)
        found[name] = None if value is None else _loss(name, value)
    states = values.get("random_states")
    if not isinstance(states, dict) or not all(isinstance(s, str) for s in states.values()):
        raise CheckpointError("its random_states are no random states")
    found["random_states"] = states
    return Progress(**found)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise CheckpointError(f"its {name} is no count")
    return value


def _loss(name: str, value: Any) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not -_LARGEST <= value <= _LARGEST:  # false for NaN too
        raise CheckpointError(f"its {name} is no finite number")
    return float(value)
