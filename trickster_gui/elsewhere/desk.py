"""ElsewhereDesk: joins the runs that are shown, the dialog, and what it asks of cards and torch."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject

from engine.run_directory import RunDirectory
from engine.run_spec import RunSpec
from trickster_gui.bridge import Elsewhere, RunBridge
from trickster_gui.cards.desk import CardDesk
from trickster_gui.elsewhere.dialog import ElsewhereDialog
from trickster_gui.elsewhere.findings import EndedRun
from trickster_gui.elsewhere.torch_check import TorchCheck
from trickster_gui.main_window import MainWindow
from trickster_gui.messages import Messages


class ElsewhereDesk(QObject):
    """Opens the dialog for the run that is shown, and starts the worker that it asks for.

    A run that is alive cannot be gone on with: the dialog closes when one begins, or when another
    run is shown.
    """

    def __init__(
        self, window: MainWindow, bridge: RunBridge, cards: CardDesk, messages: Messages,
        parent: QObject | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._window, self._bridge, self._cards = window, bridge, cards
        self._messages = messages
        self.dialog: ElsewhereDialog | None = None
        window.monitor.elsewhere_asked.connect(self.open)
        bridge.state_changed.connect(lambda _: self._close_if_alive())
        bridge.watching.connect(lambda _: self.close())

    def can_open(self) -> bool:
        """Whether a run is shown that ended."""
        return self._bridge.watched is not None and self._bridge.state in (
            "finished", "failed", "interrupted",
        )  # fmt: skip

    def open(self) -> None:
        """Read the record of the run that is shown, then ask how it shall go on."""
        watched = self._bridge.watched
        if not self.can_open() or watched is None:
            return
        path, step = watched.path, self._window.monitor.history.step
        self._bridge.run_in_background(lambda: read_ended_run(path, step), self._show, self._failed)

    def close(self) -> None:
        """Close the dialog."""
        if self.dialog is not None:
            dialog, self.dialog = self.dialog, None
            dialog.close()
            dialog.deleteLater()

    def _close_if_alive(self) -> None:
        if self._bridge.alive:
            self.close()

    def _failed(self, reason: str) -> None:
        self._messages.post("error", f"The run cannot be gone on with: {reason}")

    def _show(self, ended: EndedRun) -> None:
        watched = self._bridge.watched
        if not self.can_open() or watched is None or watched.path != ended.path:
            return  # meanwhile it was resumed, or another one is shown
        self.close()
        # It is the desk's, since an answer may come after the dialog is gone.
        torch = TorchCheck(self._bridge.check_resume, ended.path, self)
        dialog = self.dialog = ElsewhereDialog(
            ended, self._window.themes, lambda: self._window.around, self._cards.readiness, torch,
            self._window,
        )  # fmt: skip
        dialog.go_asked.connect(self._go)
        dialog.checklist_wanted.connect(self._cards.open_checklist)
        dialog.adjustSize()
        dialog.move(self._window.geometry().center() - dialog.rect().center())
        dialog.show()
        dialog.device.setFocus()

    def _go(self, wanted: RunSpec) -> None:
        if self.dialog is None:
            return
        ended = self.dialog.ended
        self.close()
        self._bridge.resume(ended.path, wanted.steps, elsewhere=changes_of(ended.run, wanted))


def read_ended_run(path: Path, step: int) -> EndedRun:
    """The run in ``path``, which has come to ``step`` by its events. Reads files.

    Raises RunDirectoryError where its record cannot be read.
    """
    directory = RunDirectory(path)
    record = directory.record()
    # Checkpoints beyond are of a stretch that was abandoned when the run went back.
    done = max((at for at in directory.checkpoint_steps() if at <= step), default=0)
    python = record.versions.get("python", "")
    device = record.device or record.run.device
    return EndedRun(path, record.title, record.model, record.run, device, done, python)


def changes_of(run: RunSpec, wanted: RunSpec) -> Elsewhere:
    """What of device, precision and trainer is another one."""

    def changed(before: str, now: str) -> str | None:
        return None if now == before else now

    return Elsewhere(
        changed(run.device, wanted.device),
        changed(run.precision, wanted.precision),
        changed(run.card_backend, wanted.card_backend),
    )
