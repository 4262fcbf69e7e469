"""What crosses between the window's thread and the one that follows a run: frozen, no widgets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.run_directory import Command
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

RunState = Literal[
    "none", "preparing", "running", "paused", "finished", "failed", "interrupted"
]  # fmt: skip
LIVE_STATES: tuple[RunState, ...] = ("preparing", "running", "paused")


@dataclass(frozen=True)
class Start:
    """Make a run and start its worker."""

    model: ModelSpec
    run: RunSpec
    title: str


@dataclass(frozen=True)
class Attach:
    """Follow a run that exists, live or ended."""

    path: Path


@dataclass(frozen=True)
class AttachLatest:
    """Follow the run that is live now, or else the last one; do nothing where there is none."""


@dataclass(frozen=True)
class Elsewhere:
    """Where a run goes on, in which precision and, on a card, by what; None: as until now."""

    device: str | None = None
    precision: str | None = None
    card_backend: str | None = None


AS_IT_WAS = Elsewhere()


@dataclass(frozen=True)
class Resume:
    """Start a worker on a run that ended, up to step ``steps`` (None: as the run was planned),
    from the checkpoint of step ``from_step`` (None: the newest)."""

    path: Path
    steps: int | None
    from_step: int | None = None
    elsewhere: Elsewhere = AS_IT_WAS


@dataclass(frozen=True)
class Send:
    """Ask something of the worker."""

    command: Command
    prompt: str = ""


@dataclass(frozen=True)
class Kill:
    """End a worker that does not answer."""


@dataclass(frozen=True)
class Acknowledge:
    """The last batch of events has been taken in."""


@dataclass(frozen=True)
class Close:
    """Stop following; the worker goes on."""


Beginning = Start | Attach | AttachLatest | Resume
Order = Send | Kill | Acknowledge | Close


@dataclass(frozen=True)
class Watched:
    """The run that is followed from now on. ``went_on`` says that its worker was alive before."""

    path: Path
    title: str
    model: ModelSpec
    run: RunSpec
    created: float
    went_on: bool
