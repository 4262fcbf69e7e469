"""CardDesk: joins the window, the checks of cards and their checklists."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from engine.cost.card_fit import card_problems
from engine.devices.card import card_name, chips_of
from engine.devices.card_rules import NOT_VERIFIED
from engine.run_spec import RunSpec, label_of
from engine.spec import ModelSpec
from trickster_gui.bridge import RunBridge
from trickster_gui.cards.checklist import Checklist
from trickster_gui.cards.environment import EnvironmentMaker
from trickster_gui.cards.readiness import CardReadiness, CardState
from trickster_gui.design.binding import apply_fix, fix_words
from trickster_gui.devices import Surroundings
from trickster_gui.document import Design
from trickster_gui.main_window import MainWindow
from trickster_gui.messages import Messages

_TOPIC, _CHIPS = "card", "chips"


class CardDesk(QObject):
    """Checks the cards that are here, opens a checklist where one is wanted, and lets no run start
    on a card that cannot train.

    ``cards_changed`` tells that a check has seen a card come or go since they were listed.
    """

    cards_changed = Signal()

    def __init__(
        self, window: MainWindow, bridge: RunBridge, messages: Messages,
        parent: QObject | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._window, self._messages = window, messages
        self.readiness = CardReadiness(bridge.run_in_background, self)
        self.maker = EnvironmentMaker(bridge.run_reporting, self)
        self.maker.made.connect(self._environment_made)
        self.checklist: Checklist | None = None
        self._show_when_known = ""  # a card just chosen: its list opens if something is missing
        self._tell_when_known = ""  # one that shall be trained on otherwise: the bar says so
        # Device and trainer of which the bar says how many chips train.
        self._told_of: tuple[str, str] | None = None
        self._backend = window.document.run.card_backend
        self.readiness.changed.connect(self._known)
        window.document.changed.connect(self._document_changed)
        window.card_chosen.connect(self._chosen)
        window.checklist_wanted.connect(self.open_checklist)
        bridge.set_guard(self.may_start)

    def look_at(self, around: Surroundings) -> None:
        """Check all cards of this computer of which nothing is known yet."""
        whole = [card for card in around.cards if card.card is not None and not card.part_of]
        self.readiness.check_new([card.name for card in whole], self._backend)

    def may_start(self, model: ModelSpec, run: RunSpec) -> bool:
        """Whether a run may start as far as cards go; where not, the person has been told why:
        by the card's checklist, or by what its worker cannot train and a button that mends it."""
        device = card_name(run.device)
        if not device:
            return True
        report = self.readiness.state(device, run.card_backend).report
        if report is not None and report.ready:
            return self._can_be_trained(model, run)
        said = report.summary() if report is not None else f"{device} has to be checked first"
        self._say(said, device)
        self.open_checklist(device)
        return False

    def _can_be_trained(self, model: ModelSpec, run: RunSpec) -> bool:
        """Whether the run's card can train this design; where not, the first reason is told."""
        problems = card_problems(model, run)
        if problems:
            first = problems[0]
            self._messages.post(
                "warning", f"{label_of(first.field)}: {first.message}", fix_words(first),
                lambda: apply_fix(self._window.document, first), topic=_TOPIC,
            )  # fmt: skip
        return not problems

    def open_checklist(self, device: str, backend: str = "") -> None:
        """Show what training on this card by ``backend`` (default: the design's) needs, and check
        it where nothing is known yet."""
        device = card_name(device)
        if not device:
            return
        if self.checklist is not None:
            self.checklist.close()
            self.checklist.deleteLater()
        title, backend = self._window.around.title(device), backend or self._backend
        self.checklist = Checklist(
            device, title, self.readiness, self.maker, self._window.themes, self._window,
            backend=backend,
        )  # fmt: skip
        self.checklist.again.connect(lambda python: self.readiness.check(device, python, backend))
        if self.readiness.state(device, backend).report is None:
            self.readiness.check(device, backend=backend)
        self.checklist.move(self._window.geometry().center() - self.checklist.rect().center())
        self.checklist.show()
        self.checklist.list.setFocus()

    def close(self) -> None:
        """End checks and what is being made, and close the list."""
        self.maker.stop()
        self.readiness.stop()
        if self.checklist is not None:
            self.checklist.close()

    def _environment_made(self, device: str) -> None:
        """Check the card that it was made for, and the others that it may help."""
        for backend in dict.fromkeys(("ttnn", self._backend)):
            for name in dict.fromkeys((device, *self.readiness.problems(backend))):
                self.readiness.check_again(name, backend)

    def _chosen(self, device: str) -> None:
        self._tell_of_chips(device)
        state = self.readiness.state(device, self._backend)
        if state.report is None or state.checking:
            self._show_when_known = device
            self.readiness.check(device, backend=self._backend)
        elif not state.report.ready:
            self.open_checklist(device)

    def _document_changed(self, design: Design) -> None:
        """Another way to train needs other things: check the run's card again, the others too."""
        if self._told_of not in (None, (design.run.device, design.run.card_backend)):
            self._told_of = None
            self._messages.withdraw(_CHIPS)
        if design.run.card_backend == self._backend:
            return
        self._backend = design.run.card_backend
        self._messages.withdraw(_TOPIC)
        self._show_when_known, self._tell_when_known = "", card_name(design.run.device)
        self._show_cards()
        if self._tell_when_known:
            self.readiness.check(self._tell_when_known, backend=self._backend)
        self.look_at(self._window.around)

    def _tell_of_chips(self, device: str) -> None:
        """Our own graph uses one chip of a card: say so where there are more, and who uses all."""
        run, chips = self._window.document.run, chips_of(device)
        if chips == 1 or run.card_backend != "ttnn":
            return
        self._told_of = (run.device, run.card_backend)
        title = self._window.around.short_title(device)
        self._messages.post(
            "info", f"{title}: our own graph trains on one of its {chips} chips, tt-train on all. "
            f"Both are {NOT_VERIFIED}.", "Use tt-train",
            lambda: self._window.document.edit(
                run={"card_backend": "tt-train"}, text="Train by tt-train"
            ),
            topic=_CHIPS,
        )  # fmt: skip

    def _show_cards(self) -> None:
        words, problems = self.readiness.words, self.readiness.problems
        self._window.show_cards(words(self._backend), problems(self._backend))

    def _known(self, device: str, backend: str) -> None:
        if backend != self._backend:
            return
        self._show_cards()
        state = self.readiness.state(device, backend)
        if state.checking:
            return
        if state.report is not None:
            listed = any(card.name == device for card in self._window.around.cards)
            if listed != (state.report.card is not None):
                self.cards_changed.emit()
            if state.report.ready:
                self._messages.withdraw(_TOPIC)
        self._answer(device, state)

    def _answer(self, device: str, state: CardState) -> None:
        """Tell what came of a check that a choice of the person has asked for."""
        ready = state.report is not None and state.report.ready
        if device == self._show_when_known:
            self._show_when_known = ""
            if not ready:
                self.open_checklist(device)
        if device == self._tell_when_known:
            self._tell_when_known = ""
            if state.report is not None and not ready:
                self._say(state.report.summary(), device)

    def _say(self, text: str, device: str) -> None:
        self._messages.post(
            "warning", text[:1].upper() + text[1:], "What is missing",
            lambda: self.open_checklist(device), topic=_TOPIC,
        )  # fmt: skip
