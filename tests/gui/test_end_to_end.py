"""The main job, whole: from the slider to a trained model, and back after the window was killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pytestqt.qtbot import QtBot

from engine.cost.parameters import count
from engine.run_directory import RunDirectory, read_json
from engine.words import signed_percent
from tests.gui.test_calibration import pretend_speed
from trickster_gui import app as program
from trickster_gui.monitor.predictions import peak_memory, step_time


@pytest.mark.timeout(240)
def test_a_run_outlives_its_window_and_the_next_window_shows_it_to_its_end(qtbot: QtBot) -> None:
    checkout = Path(__file__).resolve().parents[2]
    window = subprocess.Popen(
        [sys.executable, "-m", "tests.gui.window_process"], cwd=checkout,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert window.stdout is not None
    told = json.loads(window.stdout.readline())
    window.kill()
    window.wait()
    window.stdout.close()
    assert told["layers"] == 3
    assert told["params"] > told["params_before"]
    assert not told["torch"]

    again = program.Application()
    try:
        again.start()
        assert again.document.model.num_layers == 3  # the session came back
        assert count(again.document.model).total == told["params"]
        monitor, bridge = again.window.monitor, again.bridge
        qtbot.waitUntil(lambda: bridge.watched is not None, timeout=10_000)
        qtbot.waitUntil(lambda: bridge.state == "finished", timeout=180_000)
        qtbot.waitUntil(lambda: monitor.history.step == 400, timeout=10_000)
        assert bridge.watched is not None
        run = RunDirectory(bridge.watched.path)
        names = [event.name for event in run.events()]
        assert names.count("step") == 400
        assert "failed" not in names
        assert 400 in run.checkpoint_steps()
        losses = [event.loss for event in run.events() if event.name == "validation"]
        assert losses[-1] < losses[0]
        assert [event.step for event in run.events() if event.name == "sample"][-1] == 400
        qtbot.waitUntil(lambda: not psutil.pid_exists(_worker(run)), timeout=20_000)
    finally:
        again.close()


@pytest.mark.timeout(240)
def test_a_real_run_stands_beside_its_prediction_when_it_has_ended(
    application: program.Application, qtbot: QtBot
) -> None:
    window, bridge, document = application.window, application.bridge, application.document
    window.load_preset("first-minute")
    document.edit(
        {"num_layers": 2, "hidden_dim": 64, "mlp_dim": 128},
        {"steps": 60, "warmup_steps": 5, "validate_every": 0, "sample_every": 0, "save_every": 0},
    )
    pretend_speed(application, 0.05)
    application._show_calibration()
    window.monitor.train()
    qtbot.waitUntil(lambda: bridge.state == "finished", timeout=180_000)
    qtbot.waitUntil(lambda: window.monitor.history.finished is not None, timeout=10_000)
    window.monitor.refresh()
    history, facts = window.monitor.history, window.monitor.facts
    memory, step = peak_memory(history), step_time(history)
    assert memory.ratio == pytest.approx(1.0, abs=0.1)
    assert step.predicted is not None
    assert step.measured is not None
    assert facts.fact("memory").endswith(f", {signed_percent(memory.ratio)}")
    assert facts.fact("speed").endswith(f", {signed_percent(step.predicted / step.measured)}")
    assert bridge.watched is not None
    worker = _worker(RunDirectory(bridge.watched.path))
    # The window looks after it until it is gone; one that closes earlier leaves it to the system.
    qtbot.waitUntil(lambda: not psutil.pid_exists(worker), timeout=20_000)


def _worker(run: RunDirectory) -> int:
    return int(read_json(run.worker_file)["pid"])
