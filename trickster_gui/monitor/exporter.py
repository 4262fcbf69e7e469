"""Writes what the monitor shows to a file: every point, or the chart as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QBuffer, QIODevice, QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from trickster_gui.bridge import RunBridge
from trickster_gui.monitor.export import snapshot, write_bytes, write_points
from trickster_gui.monitor.history import History
from trickster_gui.monitor.pictures import picture, svg

if TYPE_CHECKING:
    from trickster_gui.monitor.plots import Plots

_SUFFIXES = {"csv": "CSV (*.csv)", "jsonl": "JSON lines (*.jsonl)",
             "png": "PNG (*.png)", "svg": "SVG (*.svg)"}  # fmt: skip


class Exporter(QObject):
    """Asks where, writes in the background, tells how it went.

    ``said`` carries severity and text.
    """

    said = Signal(str, str)

    def __init__(self, bridge: RunBridge, parent: QWidget) -> None:
        super().__init__(parent)
        self._bridge, self._window = bridge, parent

    def ask_path(self, name: str, kind: str) -> Path | None:
        """Where a person wants the file; None when they changed their mind."""
        chosen, _ = QFileDialog.getSaveFileName(
            self._window, "Export", f"{name}.{kind}", _SUFFIXES[kind]
        )
        return Path(chosen) if chosen else None

    def write(self, path: Path, kind: str, history: History, plots: Callable[[], Plots]) -> None:
        """Write all points (csv, jsonl) or the chart (png, svg)."""
        if not history.segments:
            self.said.emit("warning", "There is nothing to export before the first step.")
            return
        if kind in ("csv", "jsonl"):
            tables = snapshot(history)
            self._start(path, kind, lambda: write_points(tables, path, kind))
        else:
            content = _content(plots(), kind)
            self._start(path, kind, lambda: write_bytes(content(), path))

    def _start(self, path: Path, kind: str, call: Callable[[], object]) -> None:
        self._bridge.run_in_background(
            call,
            lambda count: self._written(path, kind, count),
            lambda text: self.said.emit("error", f"Could not export: {text}"),
        )

    def _written(self, path: Path, kind: str, count: object) -> None:
        what = f"{count:,} points" if kind in ("csv", "jsonl") else "The chart"
        self.said.emit("success", f"{what} written to {path}")


def _content(plots: Plots, kind: str) -> Callable[[], bytes]:
    """The chart as it is now; packing its pixels may take its time elsewhere."""
    if kind == "svg":
        drawn = svg(plots)
        return lambda: drawn
    image = picture(plots)

    def packed() -> bytes:
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        image.save(buffer, "PNG")  # type: ignore[call-overload]
        return bytes(buffer.data().data())

    return packed
