"""The window: Design on the left, Cost and Train in the middle, bars above and below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from PySide6.QtCore import QByteArray, QEvent, QPoint, Qt, Signal
from PySide6.QtGui import QAction, QCloseEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import (
    QApplication,
    QMainWindow,
    QMenu,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from engine.cost.calibration import Calibration
from engine.cost.claims import headline
from engine.cost.evaluation import Cost
from engine.devices.card import card_name
from engine.devices.card_rules import suited_to_cards
from engine.parameter import SpecError
from engine.presets import preset
from engine.resource_files import ResourceError
from engine.run_spec import run_parameters
from engine.words import binary_bytes, duration
from trickster_gui.commands import Command, Commands
from trickster_gui.controls.search_list import Entry, SearchList
from trickster_gui.controls.segments import short
from trickster_gui.cost.view import CostView
from trickster_gui.design.binding import spoken
from trickster_gui.design.notch_costs import Machine
from trickster_gui.design.panel import WIDTH_PX, DesignPanel
from trickster_gui.devices import Surroundings, device_entries, quick_surroundings
from trickster_gui.document import Document
from trickster_gui.files import DesignFiles
from trickster_gui.main_menu import main_menu
from trickster_gui.messages import MessageBar, Messages, Severity
from trickster_gui.monitor.view import MonitorView
from trickster_gui.palette import PaletteEntries
from trickster_gui.popups import Popups
from trickster_gui.presets_list import design_of, preset_entries, size_words
from trickster_gui.settings import Settings
from trickster_gui.style import palette, style_sheet
from trickster_gui.theme import Choice, ThemeSource
from trickster_gui.top_bar import TopBar

MIN_SIZE = (1_260, 700)
FIRST_SIZE = (1_280, 800)
_THEME_ORDER: tuple[Choice, ...] = ("system", "light", "dark")
_SPLITTERS = {
    "columns": (WIDTH_PX, FIRST_SIZE[0] - WIDTH_PX),
    "rows": (330, 400),
    "monitor": (640, 290),
}
_IDLE = "Ctrl+K: every command   ·   Ctrl+P: presets   ·   F1: help on the focused control"


class MainWindow(QMainWindow):
    """Puts the panels together and answers the commands. It computes nothing itself.

    ``state_changed`` tells that something about the window is worth remembering, ``card_chosen``
    that a person took this Tenstorrent card of this computer, ``checklist_wanted`` that he wants
    to see what training on this one needs.
    ``monitor`` is the panel of runs, made by the application with its bridge.
    """

    state_changed = Signal()
    card_chosen = Signal(str)
    checklist_wanted = Signal(str)

    def __init__(
        self,
        document: Document,
        themes: ThemeSource,
        messages: Messages,
        settings: Settings,
        monitor: MonitorView,
    ) -> None:
        super().__init__()
        self.document, self.themes, self.messages = document, themes, messages
        self.around: Surroundings = quick_surroundings()
        self.files = DesignFiles(document, messages, self, settings.recent_files)
        self.commands = Commands()
        self.popups = Popups(self, themes)
        self.cost = CostView(document, themes)
        self.design = DesignPanel(document, themes)
        self.monitor = monitor
        self.top = TopBar(document, themes)
        self.bar = MessageBar(messages, themes)
        self._looked_at: str | None = None
        self._calibration: Calibration | None = None
        self._shown_device: object = None
        self._card_problems: Mapping[str, str] = {}
        self._card_states: Mapping[str, str] = {}
        self._arrange()
        self._declare_commands()
        self._connect()
        self._restore(settings)
        self.show_surroundings(self.around)
        self._apply_theme()

    # What it remembers

    def settings(self) -> Settings:
        """What is worth remembering of the window as it is now."""
        return Settings(
            theme=self.themes.choice,
            geometry=bytes(self.saveGeometry().toBase64().data()).decode("ascii"),
            splitters={name: tuple(s.sizes()) for name, s in self._splitters.items()},
            disclosed=dict(self._disclosed),
            recent_files=self.files.recent,
            looked_at=self._looked_at or "",
        )

    def _restore(self, settings: Settings) -> None:
        self.resize(*FIRST_SIZE)
        geometry = QByteArray.fromBase64(settings.geometry.encode("ascii", "ignore"))
        if not geometry.isEmpty():
            self.restoreGeometry(geometry)
        for name, splitter in self._splitters.items():
            sizes = settings.splitters.get(name, _SPLITTERS[name])
            if len(sizes) == splitter.count():
                splitter.setSizes(list(sizes))
        self._disclosed = dict(settings.disclosed)
        self.design.set_disclosed(settings.disclosed)
        self._looked_at = settings.looked_at or None

    # Devices

    def show_surroundings(self, around: Surroundings) -> None:
        """Show what this computer has; called again when slow drivers have answered."""
        self.around = around
        self.cost.set_devices(around.all_devices())
        self._show_device()
        self._tell_machine()

    def set_calibration(self, calibration: Calibration | None, measuring: bool = False) -> None:
        """Predict times from these measurements; ``measuring``: they are on their way."""
        self._calibration = calibration
        self.cost.set_calibration(calibration, measuring)
        self._tell_machine()

    def _tell_machine(self) -> None:
        """The design's rows price a notch for the device whose costs are shown."""
        self.design.set_machine(Machine(self.cost.device, self._calibration))

    def choose_device(self, name: str) -> None:
        """Train on a device of this computer, or look at the costs on one that is not here."""
        if self.around.is_here(name):
            self._looked_at = None
            self._train_on(name)
        else:
            self._looked_at = name.partition(":")[0] if card_name(name) else name
            is_card = bool(card_name(name))
            self.messages.post(
                "info",
                f"{self.around.title(name)} is not in this computer: its costs are shown, runs go "
                f"to {self.around.short_title(self.document.run.device)}.",
                "What it needs" if is_card else "",
                (lambda: self.checklist_wanted.emit(name)) if is_card else None,
            )
        self._show_device()
        self.state_changed.emit()
        if card_name(name) and self._looked_at is None:
            self.card_chosen.emit(card_name(name))

    def _train_on(self, name: str) -> None:
        """Choose a device that is here; a card also a precision that it has, as one edit."""
        text, run = f"Device: {self.around.title(name)}", self.document.run
        suited = suited_to_cards(run) if card_name(name) else run
        self.document.edit(run={"device": name, "precision": suited.precision}, text=text)
        if suited != run:
            precision = run_parameters()["precision"]
            was, now = (short(spoken(value.precision, precision)) for value in (run, suited))
            self.messages.post(
                "info", f"Precision is {now} now: a Tenstorrent card has no {was}.",
                "Undo", self.document.undo_stack.undo,
            )  # fmt: skip

    def show_cards(self, states: Mapping[str, str], problems: Mapping[str, str]) -> None:
        """Show how each card of this computer stands, and why some cannot train, by name."""
        self._card_states, self._card_problems = dict(states), dict(problems)
        self._show_device()

    def _show_device(self) -> None:
        shown = (self._looked_at, self.document.run.device, self.around, self._card_problems)
        if shown == self._shown_device:  # most changes are of the model: a drag must not wait
            return
        self._shown_device = shown
        name = self._looked_at or self.document.run.device
        self.cost.set_selected_device(self._looked_at)
        self._tell_machine()
        here = self.around.is_here(name) or not self.around.complete
        problem = self._card_problems.get(card_name(name), "")
        self.top.set_device(self.around.short_title(name), here, problem)
        chosen = self.document.run.device
        # A card's Train button stays alive: pressing it opens the list of what is missing.
        absent = self.around.complete and not self.around.is_here(chosen) and not card_name(chosen)
        title = self.around.title(chosen)
        self.monitor.set_device_problem(
            f"{title} is not in this computer: choose another device at the top." if absent else ""
        )

    def _show_estimate(self, cost: Cost) -> None:
        """Tell beside the Train button what a run is predicted to take."""
        parts = [binary_bytes(cost.memory.peak_bytes)]
        if cost.total_seconds is not None:
            parts.insert(0, f"about {duration(cost.total_seconds.seconds)}")
        self.monitor.set_estimate(", ".join(parts))

    def _monitor_says(
        self, severity: Severity, text: str, action_text: str, action: Callable[[], object] | None
    ) -> None:
        self.messages.post(severity, text, action_text, action, topic="run")

    def _monitor_goes_on(self) -> None:
        self.messages.withdraw("run")

    # Building

    def _arrange(self) -> None:
        self.setWindowTitle("Trickster")
        self.setMinimumSize(*MIN_SIZE)
        self.rows = QSplitter(Qt.Orientation.Vertical)
        self.rows.setObjectName("rows")
        self.rows.addWidget(self.cost)
        self.rows.addWidget(self.monitor)
        self.rows.setChildrenCollapsible(False)
        self.rows.setHandleWidth(8)
        for at in range(self.rows.count()):
            self.rows.setStretchFactor(at, 2 + at)  # a larger window enlarges both
        centre = QWidget()
        centre.setObjectName("page")
        inside = QVBoxLayout(centre)
        inside.setContentsMargins(8, 8, 8, 8)
        inside.addWidget(self.rows)
        self.columns = QSplitter(Qt.Orientation.Horizontal)
        self.columns.setObjectName("columns")
        self.columns.addWidget(self.design)
        self.columns.addWidget(centre)
        self.columns.setChildrenCollapsible(False)
        self.columns.setHandleWidth(1)
        self.columns.setStretchFactor(0, 0)
        self.columns.setStretchFactor(1, 1)
        self._splitters = {
            "columns": self.columns, "rows": self.rows, "monitor": self.monitor.splitter,
        }  # fmt: skip
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.top)
        column.addWidget(self.columns, 1)
        column.addWidget(self.bar)
        self.setCentralWidget(whole)
        self.bar.set_idle(_IDLE)

    def _connect(self) -> None:
        self.document.changed.connect(self._document_changed)
        self.themes.changed.connect(self._apply_theme)
        self.cost.device_selected.connect(self.choose_device)
        self.design.disclosed.connect(self._remember_disclosed)
        self.files.recent_changed.connect(self.state_changed)
        self.monitor.message.connect(self._monitor_says)
        self.monitor.outdated.connect(self._monitor_goes_on)
        self.cost.cost_changed.connect(self._show_estimate)
        for splitter in self._splitters.values():
            splitter.splitterMoved.connect(self._splitter_moved)
        self.top.presets_wanted.connect(self.open_presets)
        self.top.devices_wanted.connect(self.open_devices)
        self.top.palette_wanted.connect(self.open_palette)
        self.top.menu_wanted.connect(self.open_menu)
        self.top.theme_wanted.connect(self.next_theme)
        self._document_changed()

    def _declare_commands(self) -> None:
        files, stack = self.files, self.document.undo_stack
        declared = (
            Command("undo", "Undo", stack.undo, ("Ctrl+Z",), "Edit", stack.canUndo),
            Command("redo", "Redo", stack.redo, ("Ctrl+Shift+Z", "Ctrl+Y"), "Edit", stack.canRedo),
            Command("copy-design", "Copy design as text", files.copy, ("Ctrl+Shift+C",), "Edit"),
            Command("paste-design", "Paste design as text", files.paste, ("Ctrl+Shift+V",), "Edit"),
            Command("new", "New design", self.new_design, ("Ctrl+N",), "File"),
            Command("open", "Open design…", files.ask_open, ("Ctrl+O",), "File"),
            Command("save", "Save design", files.save, ("Ctrl+S",), "File"),
            Command("save-as", "Save design as…", files.ask_save, ("Ctrl+Shift+S",), "File"),
            Command("presets", "Presets…", self.open_presets, ("Ctrl+P",), "Go"),
            Command("devices", "Choose a device…", self.open_devices, ("Ctrl+D",), "Go"),
            Command("palette", "All commands…", self.open_palette, ("Ctrl+K",), "Go"),
            Command("rename", "Rename this design", self._focus_title, ("F2",), "Go"),
            Command("go-design", "Go to the design", self._focus_design, ("Ctrl+1",), "Go"),
            Command("messages", "Recent messages", self.bar.open_recent, (), "Go"),
            Command("theme-light", "Theme: light", lambda: self.choose_theme("light"), (), "View"),
            Command("theme-dark", "Theme: dark", lambda: self.choose_theme("dark"), (), "View"),
            Command(
                "theme-system", "Theme: as the system", lambda: self.choose_theme("system"), (),
                "View",
            ),
            Command("help", "Help on the focused control", self.show_help, ("F1",), "View"),
            Command("quit", "Quit", self.close, ("Ctrl+Q",), "File"),
        )  # fmt: skip
        for command in declared:
            self.add_command(command)

    def add_command(self, command: Command) -> None:
        """Declare a command: its shortcuts work, the palette lists it."""
        self.commands.add(command)
        if not command.keys:
            return
        action = QAction(command.title, self)
        action.setShortcuts([QKeySequence(keys) for keys in command.keys])
        action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
        action.triggered.connect(lambda: command.run() if command.enabled() else None)
        self.addAction(action)

    # Commands

    def new_design(self) -> None:
        """Begin again with the preset for the first minute; undo brings the old design back."""
        self.load_preset("first-minute")
        self.files.forget_path()

    def load_preset(self, name: str) -> None:
        """Replace the design by a preset."""
        try:
            chosen = preset(name)
        except (SpecError, ResourceError) as error:
            self.messages.post("error", str(error))
            return
        self.document.load(design_of(chosen), f"Load {chosen.title}")
        self.files.forget_path()
        said = f"{chosen.title}: {size_words(chosen)}. {headline(chosen)}".strip()
        self.messages.post("info", said, "Undo", self.document.undo_stack.undo)

    def choose_theme(self, choice: Choice) -> None:
        """Light, dark, or as the system."""
        self.themes.choose(choice)
        self.state_changed.emit()

    def next_theme(self) -> None:
        """The next of: as the system, light, dark."""
        at = _THEME_ORDER.index(self.themes.choice)
        self.choose_theme(_THEME_ORDER[(at + 1) % len(_THEME_ORDER)])

    def open_presets(self) -> None:
        """The list of presets, below its button."""
        title = self.document.design.title
        self.popups.open_below(
            "presets", "Search presets", lambda _: preset_entries(title), self.load_preset,
            self.top.presets, 560,
        )  # fmt: skip

    def _device_entries(self, _: str) -> Sequence[Entry]:
        chosen = self._looked_at or self.document.run.device
        return device_entries(self.around, chosen, lambda name: self._card_states.get(name, ""))

    def open_devices(self) -> None:
        """The list of devices, below its button."""
        self.popups.open_below(
            "devices", "Search devices", self._device_entries,
            self.choose_device, self.top.device, 380,
        )  # fmt: skip

    def open_palette(self) -> None:
        """Every command, preset and parameter, in the middle of the window."""
        source = PaletteEntries(self.commands, self.document, self.load_preset, self.design.reveal)
        self.popups.open_in_middle(
            "palette", "Type a command, a preset, or “layers 12”", source.entries, source.take, 560
        )

    def open_list(self, name: str) -> SearchList | None:
        """The list of this name (presets, devices, palette) if it is open."""
        return self.popups.shown(name)

    def open_menu(self) -> QMenu:
        """The menu below its button."""
        menu = main_menu(self.commands, self.files, self)
        corner = self.top.menu.mapToGlobal(self.top.menu.rect().bottomRight())
        menu.popup(QPoint(corner.x() - menu.sizeHint().width(), corner.y() + 4))
        return menu

    def show_help(self) -> None:
        """Say what the control with the focus does."""
        widget = QApplication.focusWidget()
        said = widget.accessibleDescription() if widget is not None else ""
        name = widget.accessibleName() if widget is not None else ""
        costs = " ".join(self.design.costs_at(widget))
        text = f"{name}: {said} {costs}" if said else "Press Tab to reach a control, then F1."
        self.messages.post("info", text.strip())

    def _focus_title(self) -> None:
        self.top.title.setFocus()
        self.top.title.selectAll()

    def _focus_design(self) -> None:
        self.design.reveal("hidden_dim")

    # Events

    def _document_changed(self) -> None:
        self._show_device()
        self.setWindowTitle(f"{self.document.design.title} – Trickster")

    def _remember_disclosed(self, key: str, is_open: bool) -> None:
        self._disclosed[key] = is_open
        self.state_changed.emit()

    def _splitter_moved(self, _position: int, _index: int) -> None:
        self.state_changed.emit()

    def _apply_theme(self) -> None:
        theme = self.themes.current
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        application.setPalette(palette(theme))
        self.setStyleSheet(style_sheet(theme))
        self.top.show_theme()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.state_changed.emit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.WindowStateChange:
            self.state_changed.emit()

    def closeEvent(self, event: QCloseEvent) -> None:
        self.state_changed.emit()
        self.popups.close()
        super().closeEvent(event)
