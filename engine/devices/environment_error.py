"""Why the environment of cards could not be made."""

from __future__ import annotations

from typing import Literal

Reason = Literal[
    "platform", "python", "venv", "network", "package", "disk", "folder", "busy", "time", "failed",
    "cancelled",
]  # fmt: skip


class CardEnvironmentError(Exception):
    """The environment cannot be made; the message says why and what to do.

    ``reason`` says it in one word, for programs.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class CancelledError(CardEnvironmentError):
    """Somebody ended it before it was done."""

    def __init__(self) -> None:
        super().__init__("cancelled", "cancelled: the environment was not made")


def disk_full() -> CardEnvironmentError:
    """The disk has become full while the environment was made."""
    return CardEnvironmentError(
        "disk", "the disk is full (or your quota is used up): free some space, then try again."
    )
