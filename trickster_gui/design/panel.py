"""The Design panel: all of the model and of its training, generated from the declarations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from engine.devices.card import card_name
from engine.parameter import Parameter, SpecError
from engine.run_spec import RUN_GROUPS, run_parameters
from engine.spec import GROUPS, model_parameters
from trickster_gui.controls import fonts
from trickster_gui.controls.text import Text
from trickster_gui.design.alternatives import COMPARED, alternatives
from trickster_gui.design.binding import Binding, Part
from trickster_gui.design.corpus_row import CorpusRow
from trickster_gui.design.group import MARGIN_PX, Group
from trickster_gui.design.notch_costs import PRICED, Machine, notch_costs
from trickster_gui.design.rows import ChoiceRow, FlagRow, NumberRow, Row, TextRow
from trickster_gui.document import Design, Document
from trickster_gui.theme import ThemeSource

WIDTH_PX = 340
LEAST_WIDTH_PX = 336

# Parameters below "More": what most designs leave alone.
_RARE = {
    "head_dim", "qkv_bias", "attention_output_bias", "mlp_bias", "rope_theta", "rope_scaling",
    "rope_factor", "rope_original_seq_len", "norm_eps", "head_bias", "init_std",
    "train_fraction", "min_lr_ratio", "beta1", "beta2", "weight_decay", "grad_clip", "patience",
    "compile", "threads", "log_every", "validation_tokens", "sample_tokens", "top_k", "keep_best",
}  # fmt: skip
_ELSEWHERE = {"device"}  # the device is chosen in the bar at the top
_EDIT_ONLY = {"seed"}


class DesignPanel(QWidget):
    """Shows and edits the document, and beside each slider what one notch more costs.

    ``disclosed`` carries (key, open) whenever a person opens or closes a group.
    """

    disclosed = Signal(str, bool)
    _unpriced = Signal()

    def __init__(
        self, document: Document, themes: ThemeSource, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("designPanel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName("Design")
        self.setMinimumWidth(LEAST_WIDTH_PX)
        self._document, self._themes = document, themes
        self._machine = Machine()
        self.groups: list[Group] = []
        self._rows: dict[str, Row] = {}
        self._group_of: dict[str, Group] = {}
        self._build()
        self._arrangement: object = None
        # After rows have moved: which are in sight is known once they have been laid out again.
        self._price_timer = QTimer(self, singleShot=True, interval=0)
        self._price_timer.timeout.connect(self._show_costs)
        # Where none has moved: before the repaint that the edit asked for, so that it is the only
        # one.
        self._unpriced.connect(self._show_costs, Qt.ConnectionType.QueuedConnection)
        document.changed.connect(self._changed)
        self.refresh()

    def row(self, name: str) -> Row:
        """The row of a parameter. KeyError for one that has none."""
        return self._rows[name]

    def has_row(self, name: str) -> bool:
        """Whether a parameter has a row here."""
        return name in self._rows

    def reveal(self, name: str) -> None:
        """Open, scroll to and focus the row of a parameter."""
        row = self._rows[name]
        self._group_of[name].reveal(row)
        self._area.ensureWidgetVisible(row)
        row.focus_control()

    def set_machine(self, machine: Machine) -> None:
        """Tell what costs are predicted for: where the run is to go, and how fast that is."""
        if machine != self._machine:
            self._machine = machine
            self._price_timer.start()

    def costs_at(self, widget: QWidget | None) -> Sequence[str]:
        """What the other values of the row that a control belongs to cost, a sentence each."""
        while widget is not None and not isinstance(widget, Row):
            widget = widget.parentWidget()
        return () if widget is None else widget.costs()

    def set_disclosed(self, states: Mapping[str, bool]) -> None:
        """Take over remembered states of what is open."""
        for key, is_open in states.items():
            for group in self.groups:
                group.set_disclosed(key, is_open)

    def refresh(self) -> None:
        """Show the document as it is now. Costs of a notch follow when there is time."""
        self._show_wanted()
        errors: dict[str, SpecError] = {}
        for error in self._document.problems():
            errors.setdefault(error.field, error)
        for name, row in self._rows.items():
            row.follow()
            row.set_problem(errors.get(name))
        self._show_notes()
        arrangement = [(row.isHidden(), name in errors) for name, row in self._rows.items()]
        if arrangement == self._arrangement:
            self._unpriced.emit()
        else:
            self._arrangement = arrangement
            self._price_timer.start()

    def _changed(self, _: Design) -> None:
        self.refresh()

    def _build(self) -> None:
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 1, 0)
        self._area = QScrollArea(self)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        outer.addWidget(self._area)
        inside = QWidget(self._area)
        inside.setObjectName("designRows")
        self._column = QVBoxLayout(inside)
        self._column.setContentsMargins(0, 4, 0, 12)
        self._column.setSpacing(0)
        for name in GROUPS:
            self._add_group("model", name, model_parameters(), inside)
        self.groups[0].setProperty("first", True)
        self._column.addWidget(self._part_heading("Training run", inside))
        for name in RUN_GROUPS:
            self._add_group("run", name, run_parameters(), inside)
        self._column.addStretch(1)
        self._area.setWidget(inside)
        self._area.verticalScrollBar().valueChanged.connect(self._scrolled)

    def _part_heading(self, words: str, parent: QWidget) -> QWidget:
        holder = QFrame(parent)
        holder.setObjectName("group")
        column = QVBoxLayout(holder)
        column.setContentsMargins(MARGIN_PX, 12, MARGIN_PX, 2)
        text = Text(self._themes, fonts.small(600), "muted", parent=holder)
        text.setText(words.upper())
        column.addWidget(text)
        return holder

    def _add_group(
        self, part: Part, name: str, declared: Mapping[str, Parameter], parent: QWidget
    ) -> None:
        group = Group(name, self._themes, collapsible=part == "run", parent=parent)
        names = [n for n, p in declared.items() if p.group == name and n not in _ELSEWHERE]
        group.add_rows([self._make_row(part, n, group) for n in names if n not in _RARE])
        rare = [n for n in names if n in _RARE]
        if rare:
            group.add_more()
            group.add_rare([self._make_row(part, n, group) for n in rare])
        group.disclosed.connect(self._group_disclosed)
        self._group_of |= dict.fromkeys(names, group)
        self.groups.append(group)
        self._column.addWidget(group)

    def _make_row(self, part: Part, name: str, group: Group) -> Row:
        binding = Binding(self._document, part, name)
        kind = binding.parameter.kind
        row: Row
        if name == "corpus":
            row = CorpusRow(binding, self._themes, group)
        elif kind == "choice":
            row = ChoiceRow(binding, self._themes, group)
        elif kind == "flag":
            row = FlagRow(binding, self._themes, group)
        elif kind in ("integer", "number"):
            row = NumberRow(binding, self._themes, group, slider=name not in _EDIT_ONLY)
        else:
            row = TextRow(binding, self._themes, group)
        if name in PRICED | COMPARED:
            row.tell_costs(partial(self._alternatives, part, name))
        self._rows[name] = row
        return row

    def _alternatives(self, part: Part, name: str) -> Sequence[str]:
        return alternatives(self._document.design, part, name, self._machine)

    def _show_wanted(self) -> None:
        model = self._document.model
        rope = model.position == "rope"
        stretched = rope and model.rope_scaling != "none"
        wanted = {
            "rope_theta": rope,
            "rope_scaling": rope,
            "rope_factor": stretched,
            "rope_original_seq_len": stretched,
            "card_backend": bool(card_name(self._document.run.device)),
        }
        for name, is_wanted in wanted.items():
            self._group_of[name].set_row_wanted(self._rows[name], is_wanted)

    def _show_notes(self) -> None:
        run = self._document.run
        on_card = bool(card_name(run.device))
        notes = {
            "corpus": run.corpus.replace("\\", "/").rstrip("/").rpartition("/")[2],
            "batch_size": f"{run.batch_size:,} × {run.sequence_length(self._document.model):,}",
            "steps": f"{run.steps:,} steps",
            "precision": run.precision + (f" · {run.card_backend}" if on_card else ""),
        }
        for name, note in notes.items():
            heading = self._group_of[name].heading
            if heading is not None:
                heading.set_note("" if heading.isChecked() else note)

    def _group_disclosed(self, key: str, is_open: bool) -> None:
        self._show_notes()
        self._price_timer.start()
        self.disclosed.emit(key, is_open)

    def _scrolled(self) -> None:
        self._price_timer.start()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._price_timer.start()

    def _show_costs(self) -> None:
        """Ask for and show the cost of a notch, for the rows in sight only."""
        if not self.isVisible():
            return
        rows = [row for row in self._rows.values() if row.wants_marginal() and self._in_sight(row)]
        keys = [(row.binding.part, row.binding.name) for row in rows]
        words = notch_costs(self._document.design, keys, self._machine)
        for row, key in zip(rows, keys, strict=True):
            row.set_marginal(words.get(key, ()))

    def _in_sight(self, row: Row) -> bool:
        return row.isVisible() and not row.visibleRegion().isEmpty()
