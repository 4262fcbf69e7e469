"""Train in the window on a card: the cards' own worker, with kernels of numpy as in tests only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from engine.devices.interpreter import remember
from engine.events import Failed, Started, Validation
from engine.run_directory import RunDirectory
from tests.engine.backends.tenstorrent import numpy_worker
from tests.engine.backends.tt_train import double_worker
from tests.engine.devices import stand_in
from tests.engine.training.tiny import write_text
from trickster_gui.app import Application

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def start(application: Application, folder: Path, kind: str) -> None:
    """Press Train with a tiny design and a card whose worker computes in this way."""
    remember("n150:0", stand_in.python(folder / "python", worker=numpy_worker.command(kind)))
    application.document.edit(
        {"hidden_dim": 32, "num_layers": 1, "num_heads": 2, "num_kv_heads": 2, "mlp_dim": 64,
         "max_seq_len": 32, "vocab_size": 32},
        {"corpus": str(write_text(folder)), "precision": "bf16-mixed", "steps": 12,
         "warmup_steps": 2, "batch_size": 4, "validation_tokens": 320, "validate_every": 6,
         "sample_every": 0, "save_every": 0},
    )  # fmt: skip


def press_train(application: Application) -> None:
    application.window.choose_device("n150:0")
    QTest.mouseClick(application.window.monitor.header.train, Qt.MouseButton.LeftButton)


def run_of(application: Application) -> RunDirectory:
    watched = application.bridge.watched
    assert watched is not None
    return RunDirectory(watched.path)


def test_a_run_on_a_card_is_watched_as_every_other(
    application: Application, found: Callable[[], None], tmp_path: Path, qtbot: QtBot
) -> None:
    start(application, tmp_path, "rounded")
    found()
    press_train(application)
    qtbot.waitUntil(lambda: application.bridge.state == "finished", timeout=60_000)
    events = list(run_of(application).events())
    (started,) = (event for event in events if isinstance(event, Started))
    assert started.device == "n150:0"
    losses = [event.loss for event in events if isinstance(event, Validation)]
    assert losses[-1] < losses[0]
    qtbot.waitUntil(lambda: application.window.monitor.history.step == 12, timeout=10_000)


def test_a_run_by_tt_train_is_watched_as_every_other(
    application: Application, found: Callable[[], None], tmp_path: Path, qtbot: QtBot
) -> None:
    application.window.load_preset("nano-trickster")
    start(application, tmp_path, "rounded")
    worker = double_worker.command("learns")
    remember("n150:0", stand_in.python_of_tt_train(tmp_path / "built", worker), "tt-train")
    found()
    application.document.edit({"hidden_dim": 64}, {"card_backend": "tt-train"})
    state = application.cards.readiness.state
    qtbot.waitUntil(lambda: state("n150:0", "tt-train").report is not None, timeout=30_000)
    press_train(application)
    qtbot.waitUntil(lambda: application.bridge.state == "finished", timeout=60_000)
    assert run_of(application).record().run.card_backend == "tt-train"
    assert "ttml" in run_of(application).record().versions
    qtbot.waitUntil(lambda: application.window.monitor.history.step == 12, timeout=10_000)


def test_a_card_that_computes_nothing_is_told_in_words(
    application: Application, found: Callable[[], None], tmp_path: Path, qtbot: QtBot
) -> None:
    start(application, tmp_path, "zeros")
    found()
    press_train(application)
    qtbot.waitUntil(lambda: application.bridge.state == "failed", timeout=60_000)
    (failed,) = (event for event in run_of(application).events() if isinstance(event, Failed))
    assert failed.message.startswith("n150:0 failed its self-check: ")
    assert "preflight --device n150:0" in failed.advice
