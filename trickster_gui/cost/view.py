"""The cost view: parameters, training memory on every device, compute and time of the design."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from PySide6.QtCore import QEvent, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QWidget

from engine.cost.calibration import Calibration
from engine.cost.doubling import doublings
from engine.cost.evaluation import Cost, chosen_device, evaluate
from engine.cost.limits import largest_batch, largest_context
from engine.cost.memory import TrainingMemory, memory_of_batch
from engine.cost.remedies import Change, remedies
from engine.devices.card import Device
from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_parameters
from engine.spec import ModelSpec, problems
from trickster_gui.cost import ink
from trickster_gui.cost.compute_panel import ComputePanel
from trickster_gui.cost.ink import Look, make_look
from trickster_gui.cost.memory_panel import MemoryPanel
from trickster_gui.cost.parameters_panel import ParametersPanel
from trickster_gui.cost.problem_banner import ProblemBanner, fix_words
from trickster_gui.document import Document
from trickster_gui.theme import ThemeSource

_PADDING = 12
_GAP = 22
# The third part takes this much of the width, at least so many lines of text; of what it leaves
# the first takes that much.
_THIRD, _THIRD_LINES, _FIRST = 0.218, 12.8, 0.420
_CALM_MS = 120


class CostView(QWidget):
    """Shows what the document's design costs, and follows it as it is dragged.

    One evaluation and one repaint a change; searches (largest batch, largest context, what-ifs)
    wait until the design has been still for a moment.

    ``device_selected`` carries the name of a device that was clicked; ``cost_changed`` the new
    Cost of a valid design, for other parts of the window that show predictions.
    """

    device_selected = Signal(str)
    cost_changed = Signal(object)
    _stale = Signal()

    def __init__(
        self, document: Document, themes: ThemeSource, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._document, self._themes = document, themes
        self._devices: tuple[Device, ...] = ()
        self._calibration: Calibration | None = None
        self._measuring = False
        self._wanted: str | None = None
        self._shown: tuple[ModelSpec, RunSpec] | None = None
        self._cost: Cost | None = None
        self._problem: SpecError | None = None
        self._limits: tuple[int | None, int | None] = (None, None)
        self._look = self._new_look()
        self.parameters = ParametersPanel(self._look, self)
        self.memory = MemoryPanel(self._look, self)
        self.compute = ComputePanel(self._look, self)
        self.banner = ProblemBanner(self._look, self)
        self._is_stale = False
        self._calm = QTimer(self, singleShot=True, interval=_CALM_MS)
        self._connect()
        self.setAccessibleName("Cost of the design")
        self.setMinimumSize(QSize(900, 310))
        self.refresh()

    @property
    def cost(self) -> Cost | None:
        """The cost that is shown: of the present design, or of the last good one."""
        return self._cost

    @property
    def busy(self) -> bool:
        """Whether a change, or a search of what fits at most, is still to come."""
        return self._is_stale or self._calm.isActive()

    @property
    def device(self) -> Device | None:
        """The device whose limits and time are shown."""
        if self._wanted is not None:
            return next((d for d in self._devices if d.name == self._wanted), None)
        return chosen_device(self._document.run, self._devices)

    def set_devices(self, devices: Sequence[Device]) -> None:
        """Show these devices, in this order."""
        self._devices = tuple(devices)
        self.memory.set_devices(self._devices)
        self._order_tabs()
        self.refresh()

    def set_calibration(self, calibration: Calibration | None, measuring: bool = False) -> None:
        """Predict times from these measurements; ``measuring``: they are on their way."""
        self._calibration, self._measuring = calibration, measuring
        self.refresh()

    def set_selected_device(self, name: str | None) -> None:
        """Choose a device by name; None: the one that the run names."""
        self._wanted = name
        self.refresh()

    def refresh(self) -> None:
        """Evaluate and show the document now, without waiting for the event loop."""
        self._is_stale = False
        found = self._document.problems()
        problem = found[0] if found else None
        if (problem is None) != (self._problem is None):
            self._problem = problem
            self._use_look(self._new_look())
        self._problem = problem
        self.banner.show_problem(problem)
        if problem is None:
            self._shown = (self._document.model, self._document.run)
        if self._shown is not None:
            self._show(*self._shown)

    def sizeHint(self) -> QSize:
        return QSize(940, 330)

    def resizeEvent(self, event: QResizeEvent) -> None:
        if self._larger() != self._look_larger:
            self._use_look(self._new_look())
        self._place()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.ApplicationFontChange):
            self._use_look(self._new_look())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look = QPainter(self), self._look
        if self.rect().adjusted(8, 8, -8, -8).contains(event.rect()):
            painter.fillRect(event.rect(), look.colour("surface"))  # no corner is in it
        else:
            box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
            ink.rounded(painter, box, look.colour("surface"), 8.0)
            painter.setPen(look.colour("border"))
            painter.drawRoundedRect(box, 8.0, 8.0)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(look.colour("grid"))
        for panel in (self.memory, self.compute):
            x = panel.x() - _GAP // 2
            painter.drawLine(x, _PADDING, x, self.height() - _PADDING)

    def _connect(self) -> None:
        self._document.changed.connect(self._changed)
        self._themes.changed.connect(self._theme_changed)
        self._stale.connect(self._catch_up, Qt.ConnectionType.QueuedConnection)
        self._calm.timeout.connect(self._search)
        self.memory.device_selected.connect(self._select)
        self.memory.batch_wanted.connect(self._take_largest_batch)
        self.memory.context_wanted.connect(self._take_largest_context)
        self.memory.change_wanted.connect(self._change)
        self.compute.what_if_shown.connect(self._compare)
        self.banner.fix_wanted.connect(self._repair)

    def _order_tabs(self) -> None:
        """From left to right and down, though the devices' rows were made last."""
        stops: list[QWidget] = [
            self.parameters.claims, *self.parameters.rows, self.parameters.back,
            self.memory.lighten, *self.memory.rows, self.memory.batch, self.memory.context,
            *self.compute.stops(), self.banner.button,
        ]  # fmt: skip
        for before, after in pairwise(stops):
            QWidget.setTabOrder(before, after)

    def _changed(self) -> None:
        # Several edits of one turn of the event loop are one evaluation. A queued signal comes
        # before the repaint that other panels have asked for (which a timer would not): one
        # repaint of the window shows everything.
        if not self._is_stale:
            self._is_stale = True
            self._stale.emit()

    def _catch_up(self) -> None:
        if self._is_stale:
            self.refresh()

    def _show(self, spec: ModelSpec, run: RunSpec) -> None:
        device = self.device
        timed = run if device is None else run.replace(device=device.name)
        cost = self._cost = evaluate(spec, timed, self._devices, self._calibration)
        self.parameters.show_model(spec, cost.parameters)
        self.memory.select(device.name if device is not None else "")
        self.memory.show_memory(self._chip_memory(spec, run, cost), cost.fits)
        self.compute.show_cost(spec, run, cost, device, self._measuring)
        self.memory.show_limits(*self._limits, waiting=True)
        self.memory.show_remedies((), 1, waiting=True)
        self._calm.start()
        if self._problem is None:
            self.cost_changed.emit(cost)

    def _chip_memory(self, spec: ModelSpec, run: RunSpec, cost: Cost) -> TrainingMemory:
        """What one chip of the chosen device holds; without one, of the whole batch."""
        for fit in cost.fits:
            if fit.device == self.memory.selected:
                return memory_of_batch(spec, run.replace(device=fit.device), fit.chip_batch)
        return cost.memory

    def _search(self) -> None:
        """Find what fits the chosen device at most; only once the design is still."""
        device = self.device
        if self._shown is None or self._problem is not None:
            return
        self._limits = (None, None)
        if device is not None and device.chip_memory_bytes is not None:
            spec, run = self._shown
            batch, context = largest_batch(spec, run, device), largest_context(spec, run, device)
            self._limits = (batch or None, context or None)
        self.memory.show_limits(*self._limits)
        self._find_remedies()
        if self.compute.what_if.isVisible():
            self._compare()

    def _find_remedies(self) -> None:
        """For the chosen device's chip, with its part of the batch."""
        if self._shown is None or self._cost is None:
            return
        spec, run = self._shown
        fit = next((f for f in self._cost.fits if f.device == self.memory.selected), None)
        if fit is None:
            found, now = remedies(spec, run), self._cost.memory.peak_bytes
        else:
            on_chip = run.replace(device=fit.device, batch_size=fit.chip_batch)
            found, now = remedies(spec, on_chip), fit.needed_bytes
        self.memory.show_remedies(found, now)

    def _change(self, change: Change) -> None:
        """Make a change that was worked out for one chip: the batch is that of all of them."""
        of_run = dict(change.run)
        if "batch_size" in of_run:
            batch, more = self._document.run.batch_size, self._document.run.accumulation_steps
            of_run["batch_size"] = max(1, batch // 2)
            if "accumulation_steps" in of_run:
                of_run["accumulation_steps"] = 2 * more
        self._document.edit(change.model, of_run, text=change.words)

    def _compare(self) -> None:
        if self._shown is not None:
            found = doublings(*self._shown, self.device, self._calibration)
            self.compute.what_if.show_doublings(found)

    def _select(self, name: str) -> None:
        self.set_selected_device(name)
        self.device_selected.emit(name)

    def _take_largest_batch(self) -> None:
        batch, device = self._limits[0], self.device
        if batch is not None and device is not None:
            text = f"Largest batch that fits {device.title}"
            self._document.edit(run={"batch_size": batch}, text=text)

    def _take_largest_context(self) -> None:
        context, device = self._limits[1], self.device
        if context is None or device is None:
            return
        changes: dict[str, Value] = {"max_seq_len": context}
        if problems(self._document.model.replace(**changes)):
            changes["rope_original_seq_len"] = None  # it was longer than the new context
        text = f"Largest context that fits {device.title}"
        self._document.edit(changes, {"seq_len": None}, text=text)

    def _repair(self, problem: SpecError) -> None:
        of_run = {name: value for name, value in problem.fix.items() if name in run_parameters()}
        of_model = {name: value for name, value in problem.fix.items() if name not in of_run}
        self._document.edit(of_model, of_run, text=fix_words(problem))

    def _theme_changed(self) -> None:
        self._use_look(self._new_look())

    def _new_look(self) -> Look:
        self._look_larger = self._larger()
        dim = self._problem is not None
        return make_look(self._themes.current, self.font(), self._look_larger, dim)

    def _larger(self) -> int:
        """Pixels that the fonts gain on big screens."""
        return max(0, min((self.height() - 330) // 75, (self.width() - 940) // 140, 4))

    def _use_look(self, look: Look) -> None:
        self._look = look
        for panel in (self.parameters, self.memory, self.compute, self.banner):
            panel.set_look(look)
        self._place()
        self.update()

    def _place(self) -> None:
        top, height = _PADDING - 2, self.height() - 2 * _PADDING + 4
        room = self.width() - 2 * _PADDING - 2 * _GAP
        third = max(int(room * _THIRD), int(_THIRD_LINES * self._look.line))
        first = int((room - third) * _FIRST)
        left = _PADDING
        for panel, width in (
            (self.parameters, first), (self.memory, room - first - third),
            (self.compute, third),
        ):  # fmt: skip
            panel.setGeometry(QRect(left, top, width, height))
            left += width + _GAP
        if not self.banner.isHidden():
            self.banner.fit_into(self.rect())
