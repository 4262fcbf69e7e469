"""The monitor as a person uses it: real widgets, a real bridge, real files and processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from engine.events import Failed, Preparing, Sample, to_line
from engine.run_directory import RunDirectory
from tests.gui.monitor.stage import Stage
from tests.gui.monitor.synthetic_run import scene, write_run
from trickster_gui.monitor.history import History


def test_the_empty_state_teaches_and_offers_the_button(stage: Stage) -> None:
    view = stage.view
    assert view.stack.currentWidget() is view.empty
    assert view.empty.start_loss() == pytest.approx(5.545, abs=1e-3)
    assert view.empty_button.isVisible()
    assert view.empty_button.isEnabled()
    assert view.header.state_text.text() == "No run yet"
    stage.document.edit(model={"vocab_size": 50_257})
    assert view.empty.start_loss() == pytest.approx(10.825, abs=1e-3)


def test_train_pause_sample_stop_and_continue(stage: Stage) -> None:
    view, bridge = stage.view, stage.bridge
    stage.click(view.empty_button)
    assert not view.header.train.isEnabled()
    stage.wait(lambda: bridge.state == "running" and view.history.step > 5)
    stage.wait(lambda: view.stack.currentWidget() is view.chart)
    stage.click(view.header.pause)
    stage.wait(lambda: bridge.state == "paused")
    assert view.header.pause.text() == "Go on"
    view.samples.prompt_edit.setText("To be")
    stage.click(view.samples.ask_button)
    stage.wait(lambda: view.history.samples.prompts() == ["To be"])
    stage.click(view.header.pause)
    stage.wait(lambda: bridge.state == "running")
    stage.click(view.header.stop)
    assert not view.header.stop.isEnabled()
    stage.wait(lambda: bridge.state == "finished")
    assert view.header.train.text() == "Train again"
    assert view.header.more.isVisible()
    view.header.more_menu.aboutToShow.emit()
    before = view.history.step
    view.header.more_menu.actions()[0].trigger()
    stage.wait(lambda: bridge.state == "running")
    stage.wait(lambda: len(view.history.segments) == 2)
    assert view.history.segments[0].live_steps() <= before
    stage.click(view.header.stop)
    stage.wait(lambda: bridge.state == "finished")


def test_going_back_to_a_checkpoint(stage: Stage) -> None:
    view, bridge = stage.view, stage.bridge
    view.train()
    stage.wait(lambda: view.history.step > 3)
    bridge.save()
    stage.wait(lambda: view.history.last_saved is not None)
    saved = view.history.last_saved
    assert saved is not None
    stage.wait(lambda: view.history.step > saved.step + 5)
    stage.click(view.header.stop)
    stage.wait(lambda: bridge.state == "finished")
    view.header.more_menu.aboutToShow.emit()
    action = view.header.more_menu.actions()[-1]
    assert action.text() == f"Go back to step {saved.step:,} and on from there"
    states: list[str] = []
    bridge.state_changed.connect(states.append)
    action.trigger()
    stage.wait(lambda: len(view.history.segments) == 2 and view.history.step > saved.step)
    assert states == ["preparing", "running"]
    assert view.history.segments[0].live_until == saved.step
    stage.click(view.header.stop)
    stage.wait(lambda: bridge.state == "finished")


def test_a_worker_that_does_not_stop_can_be_ended(stage: Stage) -> None:
    stage.view.train()
    stage.wait(lambda: stage.bridge.state == "running")
    stage.bridge.pause()
    stage.wait(lambda: stage.bridge.state == "paused")
    header = stage.view.header
    asked: list[bool] = []
    header.kill_asked.connect(lambda: asked.append(True))
    header.stop_asked.disconnect()
    stage.click(header.stop)
    header.allow_kill()
    assert header.stop.text() == "End it now"
    stage.click(header.stop)
    assert asked == [True]
    stage.wait(lambda: stage.bridge.state == "interrupted")
    assert "killed" in stage.view.strip.text()
    assert header.pause.text() == "Resume"


def test_train_says_why_it_cannot(stage: Stage) -> None:
    view = stage.view
    stage.document.edit(model={"num_heads": 7})
    assert not view.header.train.isEnabled()
    assert not view.empty_button.isEnabled()
    assert "7" in view.strip.text()
    assert view.header.train.toolTip() == view.strip.text()
    stage.document.undo_stack.undo()
    assert view.header.train.isEnabled()
    view.set_device_problem("There is no N150 in this computer: choose another device.")
    assert not view.header.train.isEnabled()
    assert "choose another device" in view.strip.text()
    view.set_device_problem("")
    view.set_estimate("about 4 min")
    assert view.strip.text() == "Predicted for this design: about 4 min"


def test_a_finished_run_is_shown_whole(stage: Stage, tmp_path: Path) -> None:
    stage.attach("finished", tmp_path)
    view = stage.view
    assert view.facts.fact("step") == "2,000 / 2,000"
    assert view.facts.fact("left") == "–"
    assert view.facts.fact("memory") == "41.3 MiB · 39.2 MiB, +5.4 %"
    assert view.facts.fact("elapsed") == "4 min"
    assert view.progress.fraction() == 1.0
    view.chart.plots.refresh()
    x, y = view.chart.plots.curves.raw.getData()
    assert 500 < len(x) <= 2_002
    assert np.isfinite(y).all()
    assert view.chart.plots.floor_labels()[0] == "uniform 5.55"


def test_the_sample_scrubber(stage: Stage, tmp_path: Path, qtbot: QtBot) -> None:
    stage.attach("finished", tmp_path)
    samples = stage.view.samples
    assert samples.where.text() == "step 2,000"
    assert samples.untrained.toPlainText().startswith("def q·;Kz")
    samples.scrubber.setFocus()
    qtbot.keyClick(samples.scrubber, Qt.Key.Key_Left)
    assert samples.where.text() == "step 1,800"
    assert not samples.latest.isChecked()
    stage.view.history.samples.add(Sample(2_200, "def ", "new", 1, 0.1))
    stage.view.refresh()
    assert samples.where.text() == "step 1,800"
    stage.click(samples.latest)
    assert samples.where.text() == "step 2,200"
    stage.view.history.samples.add(Sample(2_400, "def ", "newer", 1, 0.1))
    stage.view.refresh()
    assert samples.text.toPlainText() == "def newer"
    samples.select_prompt("import os\n")
    assert samples.text.toPlainText().startswith("import os\n")


def test_a_hostile_sample_is_only_text(stage: Stage, tmp_path: Path) -> None:
    stage.attach("finished", tmp_path)
    hostile = "<img src='file:///etc/passwd'>\x07\u202e" + "x" * 100_000
    stage.view.history.samples.add(Sample(3_000, "def ", hostile, 1, 0.1))
    stage.view.refresh()
    shown = stage.view.samples.text.toPlainText()
    assert shown.startswith("def <img src='file:///etc/passwd'>··xxx")
    assert len(shown) < 21_000


def test_the_crosshair_reads_by_keys(stage: Stage, tmp_path: Path, qtbot: QtBot) -> None:
    stage.attach("finished", tmp_path)
    plots, legend = stage.view.chart.plots, stage.view.chart.legend
    qtbot.keyClick(plots, Qt.Key.Key_Right)
    reading = plots.reading()
    assert reading is not None
    assert f"Step {reading.step:,}" in legend.text()
    assert f"{reading.loss:.3f}" in legend.text()
    qtbot.keyClick(plots, Qt.Key.Key_Right)
    moved = plots.reading()
    assert moved is not None
    assert moved.step > reading.step
    qtbot.keyClick(plots, Qt.Key.Key_Escape)
    assert plots.reading() is None
    assert "Step 2,000" in legend.text()


def test_zoom_follows_no_more_until_it_fits_again(
    stage: Stage, tmp_path: Path, qtbot: QtBot
) -> None:
    stage.attach("finished", tmp_path)
    chart = stage.view.chart
    assert not chart.fit_button.isEnabled()
    qtbot.keyClick(chart.plots, Qt.Key.Key_Plus)
    low, high = chart.plots.loss_plot.getViewBox().viewRange()[0]
    assert high - low == pytest.approx(1_600)
    assert chart.fit_button.isEnabled()
    chart.plots.refresh()
    assert chart.plots.loss_plot.getViewBox().viewRange()[0] == [low, high]
    view_range = chart.plots.small["lr"][0].getViewBox().viewRange()[0]
    assert view_range == pytest.approx([low, high])
    stage.click(chart.fit_button)
    assert chart.plots.loss_plot.getViewBox().viewRange()[0] == pytest.approx([0, 2_000])


def test_the_mouse_points_zooms_and_resets(stage: Stage, tmp_path: Path, qtbot: QtBot) -> None:
    stage.attach("finished", tmp_path)
    plots = stage.view.chart.plots
    place = plots.mapFromScene(plots.loss_plot.getViewBox().sceneBoundingRect().center())
    QTest.mouseMove(plots.viewport(), place)
    stage.wait(lambda: plots.reading() is not None)
    reading = plots.reading()
    assert reading is not None
    assert 900 < reading.step < 1_100
    plots.following = False
    QTest.mouseDClick(plots.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place))
    stage.wait(lambda: plots.following)


@pytest.mark.parametrize("kind", ["step", "tokens", "seconds"])
@pytest.mark.parametrize("log", [False, True])
def test_every_axis_draws_every_scene(stage: Stage, kind: str, log: bool, qtbot: QtBot) -> None:
    chart = stage.view.chart
    stage.view.stack.setCurrentWidget(chart)
    stage.click(chart.x_axis.button(kind))
    chart.log_x.setChecked(log)
    chart.log_y.setChecked(log)
    for name in ("early", "late", "failed", "rewound"):
        history = History()
        history.add(scene(name))
        chart.show_history(history)
        chart.plots.refresh()
        assert chart.plots.grab().toImage().isNull() is False
        x, y = chart.plots.curves.smoothed.getData()
        assert len(x) == len(y) > 10
        assert np.isfinite(x).all()
        low, high = chart.plots.loss_plot.getViewBox().viewRange()[0]
        assert low <= np.nanmin(x)
        assert np.nanmax(x) <= high * 1.001


def test_smoothing_changes_the_strong_line_only(stage: Stage, tmp_path: Path) -> None:
    stage.attach("finished", tmp_path)
    plots, slider = stage.view.chart.plots, stage.view.chart.smoothing
    slider.setValue(0)
    assert plots.curves.smoothed.getData()[1] == pytest.approx(plots.curves.raw.getData()[1])
    raw = plots.curves.raw.getData()[1].copy()
    slider.setValue(slider.maximum())
    assert np.array_equal(plots.curves.raw.getData()[1], raw)
    smoothed = plots.curves.smoothed.getData()[1]
    late = slice(len(raw) // 2, None)
    assert np.std(np.diff(smoothed[late])) < np.std(np.diff(raw[late])) / 10


def test_both_themes_repaint_everything(stage: Stage, tmp_path: Path) -> None:
    stage.attach("finished", tmp_path)
    light = stage.view.grab().toImage()
    stage.themes.choose("dark")
    stage.view.refresh()
    dark = stage.view.grab().toImage()
    place = QPoint(450, 280)
    assert light.pixelColor(place).lightness() > 200
    assert dark.pixelColor(place).lightness() < 60


def test_export_writes_every_point(stage: Stage, tmp_path: Path) -> None:
    stage.attach("rewound", tmp_path)
    rows, steps = 0, 0
    for kind in ("csv", "jsonl", "png", "svg"):
        stage.messages.clear()
        path = tmp_path / f"run.{kind}"
        stage.view.export(path, kind)
        stage.wait(lambda: bool(stage.messages))
        assert stage.messages[0][0] == "success"
        assert path.stat().st_size > 1_000
    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    for line in lines:
        row = json.loads(line)
        rows += 1
        steps += row["event"] == "step"
    assert steps == 1_100 + 800
    assert len((tmp_path / "run.csv").read_text().splitlines()) == rows + 1
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "run.svg").read_bytes()[:400]
    exported = [json.loads(line) for line in lines]
    abandoned = [row for row in exported if row["abandoned"] and row["event"] == "step"]
    assert [row["step"] for row in abandoned] == list(range(501, 1_101))


def test_an_export_that_fails_says_why(stage: Stage, tmp_path: Path) -> None:
    stage.view.export(tmp_path / "nothing.csv", "csv")
    assert "nothing to export" in stage.messages.pop()[1]
    stage.attach("finished", tmp_path)
    stage.messages.clear()
    stage.view.export(tmp_path / "no" / "such" / "folder.csv", "csv")
    stage.wait(lambda: bool(stage.messages))
    assert stage.messages[0][0] == "error"
    assert "does not exist" in stage.messages[0][1]


def test_nothing_is_drawn_while_hidden(stage: Stage, tmp_path: Path) -> None:
    stage.attach("finished", tmp_path)
    stage.view.hide()
    drawn: list[int] = []
    original = stage.view.chart.plots.refresh
    stage.view.chart.plots.refresh = lambda: (drawn.append(1), original())[1]
    stage.view.history.revision += 1
    stage.view.chart._refresh_if_new()
    assert drawn == []
    stage.view.show()
    stage.wait(lambda: bool(drawn))


def test_every_control_has_a_name_and_can_be_reached(stage: Stage, tmp_path: Path) -> None:
    stage.attach("finished", tmp_path)
    for child in stage.view.findChildren(QWidget):
        reached = bool(child.focusPolicy() & Qt.FocusPolicy.TabFocus) and child.isVisible()
        part_of_another = child.objectName().startswith("qt_") or child.focusProxy() is not None
        if reached and not part_of_another:
            assert child.accessibleName(), child


def test_nothing_moves_when_words_change(stage: Stage, tmp_path: Path) -> None:
    stage.attach("finished", tmp_path)
    places = [widget.geometry() for widget in (stage.view.splitter, stage.view.facts)]
    stage.view._show_problem("Something", "long " * 200)
    stage.view.refresh()
    stage.attach("failed", tmp_path)
    QApplication.processEvents()
    assert [w.geometry() for w in (stage.view.splitter, stage.view.facts)] == places


def test_a_deleted_run_can_only_be_trained_again(stage: Stage) -> None:
    view, bridge = stage.view, stage.bridge
    view.train()
    stage.wait(lambda: view.history.step > 3)
    bridge.save()
    stage.wait(lambda: view.history.last_saved is not None)
    assert bridge.watched is not None
    folder = bridge.watched.path
    shutil.rmtree(folder)
    (folder / "checkpoints" / "step-000339").mkdir(parents=True)
    stage.wait(lambda: bridge.state == "failed")
    stage.wait(lambda: bool(stage.messages))
    stage.wait(lambda: not view.header.more.isVisible())
    assert "deleted" in stage.messages[-1][1]
    assert "deleted" in view.strip.text()
    assert view.header.train.text() == "Train again"
    assert view.header.train.isEnabled()
    assert not view.header.pause.isEnabled()
    assert view.header.pause.text() != "Resume"


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_failed_run_goes_on_only_from_a_checkpoint(
    stage: Stage, tmp_path: Path, checkpoint: bool
) -> None:
    directory = write_run(
        tmp_path / "run", [Preparing("Reading", 0.5), Failed("No such text", "Choose another", 0)]
    )
    if checkpoint:
        directory.checkpoint_path(10).mkdir()
    stage.bridge.attach(directory.path)
    stage.wait(lambda: stage.bridge.state == "failed")
    stage.view.refresh()
    header = stage.view.header
    assert header.more.isVisible() is checkpoint
    assert header.pause.isEnabled() is checkpoint
    assert (header.pause.text() == "Resume") is checkpoint
    assert header.train.isEnabled()
    assert header.train.text() == "Train again"
    assert stage.view.strip.text() == "No such text. Choose another."


def test_a_failure_is_said_at_once_and_posted_with_its_advice(stage: Stage) -> None:
    view, bridge = stage.view, stage.bridge
    view.set_estimate("about 4 min")
    view.train()
    stage.wait(lambda: view.history.step > 3 and view.stack.currentWidget() is not view.empty)
    said: list[str] = []
    view._timer.stop()  # no tick may be needed
    bridge.events.connect(lambda _: said.append(view.strip.text()))
    assert bridge.watched is not None
    directory = RunDirectory(bridge.watched.path)
    with directory.events_file.open("ab") as file:
        file.write(to_line(Failed("The loss is not a number", "Lower the learning rate", 4)))
    stage.launcher.processes[0].kill()
    stage.wait(lambda: bridge.state == "failed" and view.history.failed is not None)
    assert said[-1] == "The loss is not a number. Lower the learning rate."
    assert stage.messages == [
        ("error", "Training failed: The loss is not a number. Lower the learning rate.")
    ]


def test_a_failure_of_long_ago_is_no_news(stage: Stage, tmp_path: Path) -> None:
    stage.attach("failed", tmp_path)
    assert "Lower the learning rate" in stage.view.strip.text()
    assert [text for severity, text in stage.messages if severity == "error"] == []


def test_a_text_that_does_not_exist_is_refused(stage: Stage, tmp_path: Path) -> None:
    view, path = stage.view, tmp_path / "book.txt"
    stage.document.edit(run={"corpus": str(path)})
    assert not view.header.train.isEnabled()
    assert "book.txt" in view.strip.text()
    view.train()
    assert not stage.bridge.alive
    path.write_text("Once upon a time")
    QApplication.sendEvent(view, QEvent(QEvent.Type.ActivationChange))
    assert view.header.train.isEnabled()
    path.unlink()
    view.train()
    assert not stage.bridge.alive
    assert not view.header.train.isEnabled()
    stage.document.edit(run={"corpus": "x\0" * 5_000})
    assert not view.header.train.isEnabled()
    assert len(view.refusal()) < 300
    stage.document.edit(run={"corpus": "python-stdlib"})
    assert view.header.train.isEnabled()
