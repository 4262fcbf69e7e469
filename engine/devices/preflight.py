"""Whether training on a Tenstorrent card could start: a list of what is there and what is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from engine.devices import host_checks, worker_checks
from engine.devices.card import card_name
from engine.devices.card_rules import NOT_VERIFIED, check_for_cards, unsupported
from engine.devices.check import Check
from engine.devices.host_checks import Places
from engine.devices.interpreter import Interpreter, ask, find
from engine.devices.simulator import simulator
from engine.devices.tenstorrent import Discovery, discover, present_cards
from engine.devices.tenstorrent_boards import PresentCard
from engine.interop.tt_train_rules import differences
from engine.parameter import SpecError
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

_FORMAT = {"ok": "ok     ", "missing": "missing", "unknown": "unknown"}


@dataclass(frozen=True)
class Preflight:
    """The checklist for one card.

    Attributes:
        device: full name, such as n150:0.
        checks: in the order in which a person would see to them.
        interpreter: the Python that a worker would run under; None where none was found.
        card: what is known of the card; None where it is not here.
        backend: what would train on it, one of RunSpec.card_backend.
        python_version: of the interpreter, such as 3.12.4; empty where it is not known.
    """

    device: str
    checks: tuple[Check, ...]
    interpreter: Path | None = None
    card: PresentCard | None = None
    backend: str = "ttnn"
    python_version: str = ""

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
        by = "" if self.backend == "ttnn" else f" by {self.backend}"
        if self.ready:
            return f"training on {self.device}{by} can start"
        first, *more = self.blocking
        rest = ""
        if more:
            rest = f" ({len(more)} more thing{'s are' if len(more) > 1 else ' is'} missing)"
        return f"cannot train on {self.device}{by}: {first.found}{rest}"

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
    backend: str = "ttnn",
    python: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    places: Places | None = None,
    environment: Mapping[str, str] | None = None,
) -> Preflight:
    """Check all that training on ``device`` by ``backend`` (RunSpec.card_backend) needs.

    Takes seconds: ttnn is imported elsewhere. ``python`` is checked in place of the chosen
    interpreter. Raises SpecError where ``device`` is no card's name.
    """
    name = card_name(device)
    if not name:
        raise SpecError("device", f"{device[:40]!r} is not a Tenstorrent card", {"device": "auto"})
    places = places or Places()
    environment = os.environ if environment is None else environment
    simulated = simulator(environment)
    if simulated is not None:
        card = None
        checks = host_checks.simulator_checks(simulated, environment, name)
    else:
        found = _discover(name, places, stop)
        card = next((card for card in found.cards if card.name == name), None)
        checks = host_checks.card_checks(name, card, found, places)
    if python is not None:
        interpreter: Interpreter | None = ask(python, deep=True, stop=stop)
    else:
        interpreter = find(name, stop, backend)
    checks += worker_checks.interpreter_checks(name, interpreter, places, environment, backend)
    checks += host_checks.mock_checks(environment)
    checks = (*checks, _VERIFIED[backend])
    if interpreter is None or not interpreter.version:
        return Preflight(name, checks, None, card, backend)
    return Preflight(name, checks, interpreter.path, card, backend, interpreter.version_text)


_VERIFIED = {
    "ttnn": Check(
        "verified", "Training on cards", "unknown", NOT_VERIFIED,
        "Simulated Wormhole and Blackhole chips have trained with it, no real one yet. Before it "
        "trains,\nthe worker compares the card's arithmetic with exact numbers, and ends the run "
        "where they differ.",
    ),
    "tt-train": Check(
        "verified", "Training by tt-train", "unknown", NOT_VERIFIED,
        "Its arithmetic is not compared with exact numbers first, as that of our own graph is.",
    ),
}  # fmt: skip


def design_checks(model: ModelSpec, run: RunSpec) -> tuple[Check, ...]:
    """What training on cards has against this design and run, or that it has nothing.

    Where tt-train can train it, also what it computes otherwise than we do.
    """
    title = "This design"
    found = tuple(
        Check("design", title, "missing", f"{problem.field}: {problem.message}",
              f"Set {problem.fix_text()}")
        for problem in unsupported(model, run)
    )  # fmt: skip
    if found:
        return found
    if run.card_backend == "tt-train":
        told = "\n".join(differences(model, run))
        return (Check("design", title, "ok", "can be trained by tt-train", told),)
    return (Check("design", title, "ok", "can be trained on cards"),)


def _discover(name: str, places: Places, stop: Callable[[], bool]) -> Discovery:
    """The cards; slow tools are asked only where the driver leaves something open."""
    cards = present_cards(places.driver_class)
    if any(card.name == name and card.firmware for card in cards):
        return Discovery(cards)
    return discover(stop=stop, root=places.driver_class, device_folder=places.device_files)


def require_ready(
    model: ModelSpec, run: RunSpec, python: Path | None = None, places: Places | None = None
) -> Preflight | None:
    """The checklist of the run's card, on which training can start; None for other devices.

    Raises CardNotReadyError with the checklist where something is missing, and SpecError where
    that is nothing but another design.
    """
    if not card_name(run.device):
        return None
    report = preflight(run.device, backend=run.card_backend, python=python, places=places)
    if not report.ready:
        refused = tuple(check for check in design_checks(model, run) if check.state != "ok")
        raise CardNotReadyError(replace(report, checks=(*report.checks, *refused)))
    check_for_cards(model, run)
    return report
