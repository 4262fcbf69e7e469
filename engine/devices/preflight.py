"""Whether training on a Tenstorrent card could start: a list of what is there and what is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.devices import host_checks, worker_checks
from engine.devices.card import card_name
from engine.devices.check import Check
from engine.devices.host_checks import Places
from engine.devices.interpreter import ask, find
from engine.devices.tenstorrent import Discovery, discover, present_cards
from engine.devices.tenstorrent_boards import PresentCard
from engine.parameter import SpecError

# Whether this version has a worker that trains on cards. Without one all else may be there and
# training cannot start.
CARDS_TRAIN = False

_FORMAT = {"ok": "ok     ", "missing": "missing", "unknown": "unknown"}


@dataclass(frozen=True)
class Preflight:
    """The checklist for one card.

    Attributes:
        device: full name, such as n150:0.
        checks: in the order in which a person would see to them.
        interpreter: the Python that a worker would run under; None where none was found.
        card: what is known of the card; None where it is not here.
    """

    device: str
    checks: tuple[Check, ...]
    interpreter: Path | None = None
    card: PresentCard | None = None

    @property
    def blocking(self) -> tuple[Check, ...]:
        """What is missing without which training cannot start."""
        return tuple(check for check in self.checks if check.needed and check.state == "missing")

    @property
    def ready(self) -> bool:
        """Whether training could start."""
        return not self.blocking

    def summary(self) -> str:
        """One line: what comes of it."""
        if self.ready:
            return f"training on {self.device} can start"
        first, *more = self.blocking
        rest = ""
        if more:
            rest = f" ({len(more)} more thing{'s are' if len(more) > 1 else ' is'} missing)"
        return f"cannot train on {self.device}: {first.found}{rest}"

    def lines(self) -> tuple[str, ...]:
        """The list as text, with what to do below each point."""
        found = []
        width = max((len(check.title) for check in self.checks), default=0)
        for check in self.checks:
            found.append(f"{_FORMAT[check.state]}  {check.title:<{width}}  {check.found}")
            if check.advice:
                found += [f"{'':9}{line}" for line in check.advice.splitlines()]
        return tuple(found)

    def text(self) -> str:
        """Everything, to be copied into a message to somebody who can help."""
        return "\n".join((self.summary(), "", *self.lines()))


class CardNotReadyError(SpecError):
    """A card cannot be trained on (yet); ``report`` says what is missing."""

    def __init__(self, report: Preflight) -> None:
        super().__init__("device", report.summary(), {"device": "auto"})
        self.report = report

    @property
    def details(self) -> str:
        """The checklist, for a terminal."""
        return "\n".join(self.report.lines())


def preflight(
    device: str,
    *,
    python: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    places: Places | None = None,
    environment: Mapping[str, str] | None = None,
) -> Preflight:
    """Check all that training on ``device`` needs. Takes seconds: ttnn is imported elsewhere.

    ``python`` is checked in place of the chosen interpreter. Raises SpecError where ``device``
    is no card's name.
    """
    name = card_name(device)
    if not name:
        raise SpecError("device", f"{device[:40]!r} is not a Tenstorrent card", {"device": "auto"})
    places = places or Places()
    environment = os.environ if environment is None else environment
    simulated = bool(environment.get("TT_METAL_SIMULATOR"))
    found = Discovery(()) if simulated else _discover(name, places, stop)
    card = next((card for card in found.cards if card.name == name), None)
    if simulated:
        checks = host_checks.simulator_checks(environment)
    else:
        checks = host_checks.card_checks(name, card, found, places)
    interpreter = ask(python, deep=True, stop=stop) if python is not None else find(name, stop)
    checks += worker_checks.interpreter_checks(name, interpreter, places, environment)
    checks += host_checks.mock_checks(environment)
    if not CARDS_TRAIN:  # first: nobody shall install all the rest for nothing
        checks = (_NO_WORKER, *checks)
    path = interpreter.path if interpreter is not None and interpreter.version else None
    return Preflight(name, checks, path, card)


_NO_WORKER = Check(
    "worker", "Training on cards", "missing",
    "training on Tenstorrent cards is not part of this version yet",
    "Train on this computer's own devices meanwhile: --device auto",
)  # fmt: skip


def _discover(name: str, places: Places, stop: Callable[[], bool]) -> Discovery:
    """The cards; slow tools are asked only where the driver leaves something open."""
    cards = present_cards(places.driver_class)
    if any(card.name == name and card.firmware for card in cards):
        return Discovery(cards)
    return discover(stop=stop, root=places.driver_class, device_folder=places.device_files)


def require_ready(
    device: str, python: Path | None = None, places: Places | None = None
) -> Preflight | None:
    """The checklist of a card on which training can start; None for a device that is no card.

    Raises CardNotReadyError with the checklist where something is missing.
    """
    if not card_name(device):
        return None
    report = preflight(device, python=python, places=places)
    if not report.ready:
        raise CardNotReadyError(report)
    return report


def worker_interpreter(
    device: str, python: Path | None = None, places: Places | None = None
) -> Path | None:
    """The Python to start a worker for this card with; None for a device that is no card.

    Raises CardNotReadyError with the checklist where something is missing.
    """
    report = require_ready(device, python, places)
    if report is None:
        return None
    assert report.interpreter is not None  # it is among what has to be there
    return report.interpreter
