"""`make screenshots`: opens the real window, trains a real run, writes a picture of each page.

Every scene is drawn in light and dark, at 1280×800 and 1920×1080, into screenshots/. The run is a
real one on the embedded text with a fixed seed, in a home of its own that is deleted afterwards.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QApplication, QWidget

from engine.devices.environment_progress import Progress
from trickster_gui import app as program
from trickster_gui.cards.environment import MakingState

SIZES = ((1280, 800), (1920, 1080))
THEMES = ("light", "dark")
_STEPS = 600
_PRINTED = "10-printed-and-exact"
_LONGEST_S = 600.0


def main() -> int:
    """Draw every scene; return the exit status."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ["TRICKSTER_HOME"] = home
        application = QApplication(sys.argv[:1])
        program.prepare(application)
        opened = program.Application()
        opened.start()
        try:
            for name, prepare in _scenes(opened):
                prepare()
                for path in _draw(opened, folder, name):
                    print(path.name)
        finally:
            opened.bridge.stop()  # a worker outlives its window; this one has seen enough
            until(lambda: not opened.bridge.alive)
            opened.close()
    return 0


def _scenes(opened: program.Application) -> Iterator[tuple[str, Callable[[], None]]]:
    """Scene names and what brings the window there, in an order in which each follows the last."""
    window, bridge, document = opened.window, opened.bridge, opened.document

    def load(preset: str) -> None:
        window.load_preset(preset)
        settle(400)

    def first_start() -> None:
        opened.measure_if_new()  # as the first start does by itself, a little later
        until(lambda: window.cost.cost.total_seconds is not None)
        settle(500)

    yield "1-first-start", first_start
    yield "2-nano-trickster", lambda: load("nano-trickster")
    yield "3-llama-3-8b", lambda: load("llama-3-8b")
    yield "4-impossible", lambda: load("bad-design-heads")

    def train() -> None:
        load("first-minute")
        document.edit(run={"steps": _STEPS, "validate_every": 50, "sample_every": 50})
        bridge.start(document.model, document.run, "First minute")
        until(lambda: window.monitor.history.step >= 260)

    yield "5-training", train
    yield "6-finished", lambda: until(lambda: bridge.state == "finished")
    yield "6-elsewhere", lambda: _open_elsewhere(opened)
    yield "6-elsewhere-card", lambda: _to_a_card(opened)
    yield "7-presets", lambda: _open(window.open_presets)
    yield "8-commands", lambda: _open(window.open_palette)

    def checklist() -> None:
        window.resize(*SIZES[0])  # it opens in the middle of the window as it is then
        settle(100)
        _open(lambda: opened.cards.open_checklist("n150:0"))
        until(lambda: opened.cards.readiness.state("n150:0").report is not None)
        settle(200)

    yield "9-checklist", checklist

    def being_made() -> None:
        progress = Progress("Downloading ttnn 0.81.1 (102.6 MB)", 0.26, "64 of about 175 MB")
        opened.cards.maker._set(MakingState("making", progress))  # the real thing needs a network

    yield "9-checklist-making", being_made

    def printed() -> None:
        opened.cards.maker._set(MakingState())
        _open(lambda: load("nano-trickster"))

    yield _PRINTED, printed


def _open_elsewhere(opened: program.Application) -> None:
    opened.window.resize(*SIZES[0])  # it opens in the middle of the window as it is then
    settle(100)
    _open(opened.elsewhere.open)
    until(lambda: opened.elsewhere.dialog is not None)


def _to_a_card(opened: program.Application) -> None:
    """A card that is not here, and a precision that no card has."""
    dialog = opened.elsewhere.dialog
    assert dialog is not None
    dialog.choose_device("n150:0")
    until(lambda: opened.cards.readiness.state("n150:0").report is not None)


def _open(show: Callable[[], None]) -> None:
    for popup in _popups():
        popup.close()
    show()
    settle(200)


def _popups() -> list[QWidget]:
    shown = (widget for widget in QApplication.topLevelWidgets() if widget.isVisible())
    return [widget for widget in shown if not widget.inherits("QMainWindow")]


def _draw(opened: program.Application, folder: Path, name: str) -> Iterator[Path]:
    for theme in THEMES:
        opened.themes.choose(theme)
        for width, height in SIZES:
            opened.window.resize(width, height)
            settle(350)
            if name == _PRINTED:  # another look has closed it
                opened.window.cost.parameters.open_claims()
                settle(100)
            path = folder / f"{name}-{theme}-{width}x{height}.png"
            picture = opened.window.grab()
            for popup in _popups():
                at = opened.window.mapFromGlobal(popup.mapToGlobal(popup.rect().topLeft()))
                painter = QPainter(picture)
                painter.drawPixmap(at, popup.grab())
                painter.end()
            if not picture.save(str(path)):
                raise OSError(f"{path} cannot be written")
            yield path


def settle(milliseconds: int) -> None:
    """Let the window work for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def until(reached: Callable[[], bool]) -> None:
    """Let the window work until something is so; raise TimeoutError after ten minutes."""
    begun = time.monotonic()
    while not reached():
        if time.monotonic() - begun > _LONGEST_S:
            raise TimeoutError("the scene never came")
        settle(100)


if __name__ == "__main__":
    sys.exit(main())
