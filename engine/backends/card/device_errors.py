"""What a card's library says when something goes wrong, in words for a person.

tt-metal's errors are RuntimeErrors of many lines: where in its sources and which condition,
"info:", the reason, "backtrace:" and a long list.
"""

from __future__ import annotations

_BACKTRACE, _INFO = "backtrace:", "info:"
_LONGEST_REASON = 300


def is_out_of_card_memory(error: Exception) -> bool:
    """Whether tt-metal said that a buffer does not fit the card's memory."""
    return isinstance(error, (RuntimeError, MemoryError)) and "out of memory" in str(error).lower()


def is_from_card(error: Exception) -> bool:
    """Whether an error is tt-metal's own: nothing else tells its backtrace in its message."""
    return isinstance(error, RuntimeError) and _BACKTRACE in str(error)


def reason(error: Exception) -> str:
    """Why, in one line: without the place in tt-metal's sources and without the backtrace."""
    text = str(error).partition(_BACKTRACE)[0].strip()
    where, info, why = text.partition(_INFO)
    said = why if info else where.partition("\n")[0]
    return " ".join(said.split())[:_LONGEST_REASON] or type(error).__name__


def way_on(device: str, backend: str = "ttnn") -> str:
    """What a person can do about a card that does not work with ``backend``."""
    by = "" if backend == "ttnn" else f" --card-backend {backend}"
    return (
        f"See what is missing: python -m engine preflight --device {device}{by}. Until it works, "
        "train or go on with --device auto"
    )
