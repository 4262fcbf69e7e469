"""The application: it opens fast and light, comes back as it was left, and hides no error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QByteArray, QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from engine.locations import data_home
from trickster_gui import app, last_resort
from trickster_gui.app import Application
from trickster_gui.design.rows import NumberRow
from trickster_gui.main_window import MainWindow

PROJECT = Path(app.__file__).resolve().parent.parent


def session_file() -> Path:
    return data_home() / "session.json"


def test_the_first_window_shows_a_design_that_runs_here(application: Application) -> None:
    assert application.document.design.title == "First minute"
    assert application.document.problems() == ()
    assert application.window.top.title.text() == "First minute"


def test_a_change_is_on_disk_within_a_second_and_survives_a_kill(
    application: Application, qtbot: QtBot
) -> None:
    application.document.edit({"num_layers": 9}, text="Layers: 9")
    application.document.edit({"num_heads": 8}, text="Heads: 8")
    application.window.choose_theme("dark")
    application.window.design.reveal("norm_eps")
    qtbot.waitUntil(lambda: session_file().exists(), timeout=1_000)
    qtbot.waitUntil(lambda: "Heads: 8" in session_file().read_text(), timeout=1_000)
    # No close(): what a kill would leave behind is all that the next one gets.
    again = Application()
    try:
        assert again.document.design == application.document.design
        assert again.document.undo_stack.undoText() == "Heads: 8"
        again.document.undo_stack.undo()
        again.document.undo_stack.undo()
        assert again.document.model.num_layers == 4
        assert again.themes.choice == "dark"
        again.start()
        assert again.window.design.row("norm_eps").isVisible()
    finally:
        again.close()


def test_a_drag_that_goes_on_is_saved_meanwhile(application: Application, qtbot: QtBot) -> None:
    row = application.window.design.row("num_layers")
    assert isinstance(row, NumberRow)
    slider = row.slider
    assert slider is not None
    QTest.mousePress(slider, Qt.MouseButton.LeftButton, pos=QPoint(round(slider.thumb_x()), 10))

    def saved_under_the_hand() -> bool:
        at = 5 + (slider.value() + 3) % 20
        QTest.mouseMove(slider, QPoint(round(slider.thumb_x(at)), 10))
        return session_file().exists() and "Layers" in session_file().read_text()

    qtbot.waitUntil(saved_under_the_hand, timeout=2_000)
    QTest.mouseRelease(slider, Qt.MouseButton.LeftButton)


def test_sizes_and_device_come_back(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = application.window
    window.resize(1_500, 900)
    window.columns.setSizes([420, 1_080])
    window.rows.setSizes([350, 400])
    window.choose_device("n300")
    sizes = [window.columns.sizes(), window.rows.sizes()]
    application.save()
    restored: list[bytes] = []  # the offscreen screen is too small for Qt to take it over

    def restore(_: object, geometry: QByteArray) -> bool:
        restored.append(bytes(geometry.data()))
        return True

    monkeypatch.setattr(MainWindow, "restoreGeometry", restore)
    again = Application()
    try:
        again.window.resize(1_500, 900)
        again.window.show()
        assert restored == [bytes(window.saveGeometry().data())]
        assert [again.window.columns.sizes(), again.window.rows.sizes()] == sizes
        assert "n300" in again.window.top.device.text().lower()
    finally:
        again.close()


def test_a_damaged_session_gives_a_message_and_a_window(qtbot: QtBot) -> None:
    session_file().parent.mkdir(parents=True, exist_ok=True)
    session_file().write_text('{"format": 1, "design": {"model": {"num_layers": "no"}}}')
    opened = Application()
    try:
        opened.start()
        message = opened.window.bar.message()
        assert message is not None
        assert message.severity == "warning"
        assert "session.damaged.json" in message.text
        assert opened.document.problems() == ()
    finally:
        opened.close()


def test_a_session_that_cannot_be_kept_is_told_once(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(app, "save_session", full)
    before = len(application.messages.recent)
    application.save()
    application.save()
    assert len(application.messages.recent) == before + 1
    assert "No space left" in application.messages.recent[-1].text


def test_an_error_that_nobody_caught_is_shown_and_logged(application: Application) -> None:
    log = data_home() / "errors.log"
    restore = last_resort.install(log, application.show_error)
    try:
        try:
            raise RuntimeError("the boiler\nburst")
        except RuntimeError as error:
            sys.excepthook(RuntimeError, error, error.__traceback__)
    finally:
        restore()
    message = application.window.bar.message()
    assert message is not None
    assert message.text == "Something went wrong: the boiler"
    assert "RuntimeError: the boiler" in log.read_text()
    QTest.mouseClick(application.window.bar.action, Qt.MouseButton.LeftButton)
    assert "Traceback" in QApplication.clipboard().text()


def test_a_long_error_log_starts_over(tmp_path: Path) -> None:
    log = tmp_path / "errors.log"
    log.write_text("x" * (last_resort.MAX_LOG_BYTES + 1))
    assert last_resort.write_log(log, "new")
    assert log.stat().st_size < 1_000
    assert not last_resort.write_log(tmp_path / "errors.log" / "inside", "nowhere")


_STARTS = """
import sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from trickster_gui import app
application = QApplication([])
QTimer.singleShot(300, application.quit)
status = app.main(sys.argv[1:])
heavy = {"torch", "safetensors", "engine.models", "engine.training"} & set(sys.modules)
print("loaded:", sorted(heavy), "status:", status)
"""


@pytest.mark.parametrize("spec", [[], ["nano-trickster"], ["no-such-design"]])
def test_it_starts_without_torch(spec: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STARTS, *spec], capture_output=True, text=True, timeout=60,
        check=False, cwd=PROJECT,
    )  # fmt: skip
    assert "loaded: [] status: 0" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("Trickster ")


def test_the_session_is_plain_json(application: Application) -> None:
    application.save()
    assert set(json.loads(session_file().read_text())) == {
        "format", "design", "steps", "done", "path", "settings",
    }  # fmt: skip
