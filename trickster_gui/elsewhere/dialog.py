"""ElsewhereDialog: where, how and how far a run that ended shall go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from engine.devices.card import card_name
from engine.going_on import going_on
from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_parameters
from trickster_gui.cards.readiness import CardReadiness
from trickster_gui.controls import fonts
from trickster_gui.controls.buttons import IconButton, dialog_button
from trickster_gui.controls.search_list import Entry, SearchList
from trickster_gui.controls.segments import Segments
from trickster_gui.controls.text import Text
from trickster_gui.controls.value_edit import ValueEdit
from trickster_gui.design.binding import exact_text
from trickster_gui.design.notches import run_values
from trickster_gui.devices import NOT_HERE, Surroundings, device_entries
from trickster_gui.elsewhere.finding_list import FindingList
from trickster_gui.elsewhere.findings import (
    EndedRun,
    Finding,
    Known,
    asks_torch,
    can_go_on,
    findings,
    precision_words,
)
from trickster_gui.elsewhere.torch_check import TorchCheck
from trickster_gui.popups import Popups
from trickster_gui.theme import ThemeSource

_WIDTH_PX, _FINDINGS_PX, _STEPS_PX = 560, 122, 112  # three findings of two lines
_LABELS = {"device": "Device", "card_backend": "Trainer on cards", "precision": "Precision",
           "steps": "Steps in all"}  # fmt: skip


class ElsewhereDialog(QDialog):
    """Begins with what the run itself has. It stays open beside the window.

    ``go_asked`` carries the RunSpec to go on as, ``checklist_wanted`` device and trainer of the
    card whose list is asked for.
    """

    go_asked = Signal(object)
    checklist_wanted = Signal(str, str)

    def __init__(
        self, ended: EndedRun, themes: ThemeSource, around: Callable[[], Surroundings],
        readiness: CardReadiness, torch: TorchCheck, parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.ended, self.wanted = ended, ended.proposal()
        self._themes, self._around = themes, around
        self._readiness, self._torch = readiness, torch
        self._refused: SpecError | None = None
        self._list_when_known = ""  # a card just chosen: its list opens if something is missing
        self._popups = Popups(self, themes)
        self.setWindowTitle("Go on elsewhere")
        self.setFixedWidth(_WIDTH_PX)
        self._make()
        self._arrange()
        readiness.changed.connect(self._card_changed)
        torch.changed.connect(self._show)
        themes.changed.connect(self._show)
        self._change()

    # Making

    def _make(self) -> None:
        parameters = run_parameters()
        self.heading = QLabel("Go on elsewhere", self)
        self.heading.setFont(fonts.title())
        self.about = Text(self._themes, fonts.base(), "muted", parent=self)
        self.about.setText(_about(self.ended, self._around()))
        self.about.setToolTip(self.about.text())
        self.device = IconButton(
            self._themes, "chip", _LABELS["device"], opens=True, framed=True, parent=self
        )
        self.device.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.device.setFixedHeight(self.device.sizeHint().height())
        self.device.clicked.connect(self.open_devices)
        self.device_note = Text(self._themes, fonts.small(), "muted", parent=self)
        self.trainer = self._segments("card_backend")
        self.trainer_note = Text(self._themes, fonts.small(), "muted", parent=self)
        self.precision = self._segments("precision")
        self.steps = ValueEdit(self)
        self.steps.setFixedWidth(_STEPS_PX)
        self.steps.setAccessibleName(_LABELS["steps"])
        self.steps.setAccessibleDescription(parameters["steps"].help)
        self.steps.submitted.connect(self._typed)
        self.steps.restored.connect(self._restored)
        self.steps.stepped.connect(self._step)
        self.steps_note = Text(self._themes, fonts.small(), "muted", parent=self)
        self.findings = FindingList(self._themes, self)
        self.findings.setMinimumHeight(_FINDINGS_PX)
        self.findings.acted.connect(self._act)
        self.cancel = dialog_button("Cancel", "Leave the run as it is", self)
        self.cancel.clicked.connect(self.close)
        self.go = dialog_button("Go on", "Go on with the run so", self)
        self.go.setProperty("primary", True)
        self.go.setDefault(True)
        self.go.clicked.connect(self._go)

    def _segments(self, name: str) -> Segments:
        parameter = run_parameters()[name]
        made = Segments(parameter.choices or {}, self)
        made.setAccessibleName(_LABELS[name])
        made.setToolTip(parameter.help)
        made.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        for button in made.buttons():
            button.setAutoDefault(False)
            button.setAccessibleDescription(parameter.help)
        made.chosen.connect(lambda key: self._change(**{name: key}))
        return made

    def _arrange(self) -> None:
        form = QGridLayout()
        form.setHorizontalSpacing(14)
        form.setVerticalSpacing(10)
        form.setColumnStretch(1, 1)
        self.labels = {name: Text(self._themes, fonts.base(), "text", reserve=words, parent=self)
                       for name, words in _LABELS.items()}  # fmt: skip
        device = QVBoxLayout()
        device.setSpacing(3)
        device.addWidget(self.device)
        device.addWidget(self.device_note)
        steps = QHBoxLayout()
        steps.setSpacing(10)
        steps.addWidget(self.steps)
        steps.addWidget(self.steps_note, 1)
        top, middle = Qt.AlignmentFlag.AlignTop, Qt.AlignmentFlag.AlignVCenter
        for row, (name, words) in enumerate(_LABELS.items()):
            self.labels[name].setText(words)
            form.addWidget(self.labels[name], row, 0, top if name == "device" else middle)
        self.labels["device"].setFixedHeight(self.device.sizeHint().height())
        form.addLayout(device, 0, 1)
        trainer = QHBoxLayout()
        trainer.setSpacing(10)
        trainer.addWidget(self.trainer)
        trainer.addWidget(self.trainer_note, 1)
        form.addLayout(trainer, 1, 1)
        form.addWidget(self.precision, 2, 1, Qt.AlignmentFlag.AlignLeft)
        form.addLayout(steps, 3, 1)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.go)
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 16, 18, 14)
        column.setSpacing(10)
        column.addWidget(self.heading)
        column.addWidget(self.about)
        column.addSpacing(4)
        column.addLayout(form)
        column.addSpacing(4)
        column.addWidget(self.findings, 1)
        column.addLayout(buttons)

    # What the person does

    def open_devices(self) -> None:
        """The list of devices, below its button."""
        self._popups.open_below(
            "devices", "Search devices", self._entries, self.choose_device, self.device,
            self.device.width(),
        )  # fmt: skip

    def open_list(self) -> SearchList | None:
        """The list of devices if it is open."""
        return self._popups.shown("devices")

    def choose_device(self, name: str) -> None:
        """Go on on this device, or see what keeps the run from it."""
        name = card_name(name) or name
        self._list_when_known = name if self._around().is_here(name) else ""
        self._change(device=name)
        self._open_list_if_missing()

    def _entries(self, _: str) -> Sequence[Entry]:
        words, around = self._readiness.words(self.wanted.card_backend), self._around()
        device = self.wanted.device
        chosen = device if around.is_here(device) else device.split(":")[0]
        entries = device_entries(around, chosen, lambda name: words.get(name, ""))
        return [replace(e, section="Not here") if e.section == NOT_HERE else e for e in entries]

    def _typed(self, text: str) -> None:
        try:
            steps = run_parameters()["steps"].parse(text)
            assert isinstance(steps, int)
        except SpecError as error:
            self._refused = error
            self.steps.refuse()
            self._show()
            return
        self._change(steps=steps)

    def _restored(self) -> None:
        self._refused = None
        self._show()

    def _step(self, direction: int) -> None:
        values = run_values("steps", self.wanted, self.ended.model)
        at = values.index(self.wanted.steps) + direction
        self._change(steps=values[max(0, min(len(values) - 1, at))])

    def _change(self, **changes: Value) -> None:
        """Take these settings; a refused number of steps is forgotten when another one comes."""
        if not changes or "steps" in changes:
            self._refused = None
        # From the run itself: its warm-up comes back when more steps leave room for it.
        kept = {name: getattr(self.wanted, name) for name in _LABELS}
        self.wanted = going_on(self.ended.run, **{**kept, **changes})
        device = card_name(self.wanted.device)
        if device and self._readiness.state(device, self.wanted.card_backend).report is None:
            self._readiness.check(device, backend=self.wanted.card_backend)
        elif asks_torch(self.ended, self.wanted):
            self._torch.ask(self.wanted.device, self.wanted.precision)
        self._show()

    def _act(self, finding: Finding) -> None:
        if finding.way == "checklist":
            self._want_checklist()
            return
        self._change(**dict(finding.fix))
        self._focus(finding.field)

    def _focus(self, field: str) -> None:
        """The button that mended it is gone: the focus goes to what it has changed."""
        if field == "steps":
            self.steps.setFocus(Qt.FocusReason.OtherFocusReason)
        elif field in ("precision", "card_backend"):
            segments = self.precision if field == "precision" else self.trainer
            segments.button(segments.choice()).setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self.device.setFocus(Qt.FocusReason.OtherFocusReason)

    def _go(self) -> None:
        if can_go_on(self._found()):
            self.go_asked.emit(self.wanted)

    # Showing

    def _card_changed(self, device: str, backend: str) -> None:
        if (device, backend) == (card_name(self.wanted.device), self.wanted.card_backend):
            self._show()
            self._open_list_if_missing()

    def _open_list_if_missing(self) -> None:
        """A card of this computer that was just chosen and cannot train: show what it lacks."""
        if self._list_when_known != self.wanted.device:
            return
        state = self._readiness.state(self.wanted.device, self.wanted.card_backend)
        if state.checking or (state.report is None and not state.error):
            return
        self._list_when_known = ""
        if state.report is None or not state.report.ready:
            self._want_checklist()

    def _want_checklist(self) -> None:
        self.checklist_wanted.emit(card_name(self.wanted.device), self.wanted.card_backend)

    def _found(self) -> tuple[Finding, ...]:
        if self._refused is not None:
            text = f"{_LABELS['steps']}: {self._refused.message}"
            return (Finding("error", text, "steps"),)
        run = self.wanted
        known = Known(
            self._around(),
            self._readiness.state(card_name(run.device), run.card_backend),
            self._torch.state(run.device, run.precision),
        )
        return findings(self.ended, run, known)

    def _show(self, *_: object) -> None:
        """Show what is chosen, and what there is to say about it."""
        run, around, found = self.wanted, self._around(), self._found()
        on_card = bool(card_name(run.device))
        self.device.setText(around.title(run.device) + (f" · {run.device}" if on_card else ""))
        self.device.setAccessibleName(f"{_LABELS['device']}: {self.device.text()}")
        self.device_note.setText(self._device_words())
        self.trainer.set_choice(run.card_backend)
        self.trainer.setEnabled(on_card)
        self.trainer_note.setText("" if on_card else "other devices train by torch")
        self.precision.set_choice(run.precision)
        if self._refused is None and not (self.steps.hasFocus() and self.steps.pending()):
            self.steps.show_value(exact_text(run.steps, run_parameters()["steps"]))
        self.steps_note.setText(_steps_words(self.ended.done, run))
        guilty = {finding.field for finding in found if finding.severity == "error"}
        for name, label in self.labels.items():
            label.set_role("danger" if name in guilty else "text")
        if not on_card:
            self.labels["card_backend"].set_role("faint")
        self.findings.show_findings(found)
        possible = can_go_on(found)
        self.go.setEnabled(possible)
        self.go.setToolTip("Go on with the run so" if possible else found[0].text)
        self._make_room()

    def _make_room(self) -> None:
        """Grow where the findings are longer than usual; it never shrinks under the hand."""
        layout = self.layout()
        if self.isVisible() and layout is not None:
            layout.activate()
            needed = layout.totalHeightForWidth(self.width())
            if needed > self.height():
                self.resize(self.width(), needed)

    def _device_words(self) -> str:
        device, around = card_name(self.wanted.device), self._around()
        if not device:
            own = self.wanted.device in (self.ended.run.device, self.ended.device)
            return "where it trained until now" if own else "in this computer"
        if not around.is_here(device):
            return "not in this computer"
        return self._readiness.words(self.wanted.card_backend).get(device, "in this computer")


def _about(ended: EndedRun, around: Surroundings) -> str:
    run, card = ended.run, card_name(ended.device)
    where = f"{card} by {run.card_backend}" if card else around.short_title(ended.device)
    return f"“{ended.title}” was trained on {where} in {precision_words(run)}"


def _steps_words(done: int, run: RunSpec) -> str:
    left = run.steps - done
    if not done:
        return "it has no checkpoint and begins again"
    return f"{done:,} done" + (f" · {left:,} to go" if left > 0 else "")
