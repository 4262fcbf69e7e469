"""What the monitor says of a run: its figures, and the line below them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.events import Event, Finished, Preparing, Started
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.gui.monitor.stage import Stage
from tests.gui.monitor.synthetic_run import scene, write_run


def test_words_for_each_state(stage: Stage, tmp_path: Path) -> None:
    stage.attach("failed", tmp_path)
    assert "Lower the learning rate" in stage.view.strip.text()
    stage.attach("overfit", tmp_path)
    assert stage.view.strip.text().startswith("Overfitting since step 800")
    stage.bridge.attach(write_run(tmp_path / "soon", [Preparing("Reading the text", 0.5)]).path)
    with stage.launcher.create(ModelSpec(), RunSpec(), "busy").lock():
        stage.bridge.attach(tmp_path / "runs" / "busy")
        stage.wait(lambda: stage.bridge.state == "preparing")
        stage.view.refresh()
        assert stage.view.empty.headline()
        assert not stage.view.empty_button.isVisible()


def recorded(step_s: float, **predicted: float) -> list[Event]:
    """A finished run whose record says what was predicted and what was measured."""
    begun, *rest, ended = scene("finished")[1:]
    assert isinstance(begun, Started)
    assert isinstance(ended, Finished)
    foretold = {"peak_bytes": 40_000_000.0, "step_s": 0.1, **predicted}
    return [
        replace(begun, predicted=foretold), *rest,
        replace(ended, measured={"peak_bytes": 40_120_000.0, "step_s": step_s}),
    ]  # fmt: skip


def show(stage: Stage, path: Path, events: list[Event]) -> None:
    stage.bridge.attach(write_run(path, events).path)
    stage.wait(lambda: stage.bridge.state == "finished")
    stage.view.refresh()


def test_the_record_of_a_finished_run_says_how_good_its_predictions_were(
    stage: Stage, tmp_path: Path
) -> None:
    show(stage, tmp_path / "good", recorded(0.101))
    facts = stage.view.facts
    assert facts.fact("memory") == "38.3 MiB · 38.1 MiB, +0.3 %"
    assert facts.fact("speed") == "60.8 K · 61.4 K, -1 %"
    assert "40,120,000 bytes, predicted 40,000,000 bytes, +0.3 %" in facts.toolTip()
    assert "60.8 K: 0.10 s a step, predicted 0.10 s, -1 %" in facts.accessibleName()
    assert stage.view.strip.text() == ""


@pytest.mark.parametrize("measured", [1_023 * 2**20, 99.9 * 2**30, 1_023 * 2**10])
def test_measured_and_predicted_have_room_beside_each_other(
    stage: Stage, tmp_path: Path, measured: float
) -> None:
    begun, *rest, ended = scene("finished")[1:]
    assert isinstance(begun, Started)
    assert isinstance(ended, Finished)
    foretold = {"peak_bytes": measured / 1.117, "step_s": 0.000_153}
    found = {"peak_bytes": measured, "step_s": 0.061_5}
    show(stage, tmp_path / "wide", [
        replace(begun, predicted=foretold), *rest, replace(ended, measured=found),
    ])  # fmt: skip
    stage.view.resize(900, 400)  # in the smallest window
    assert stage.view.facts.fact("memory").endswith(", +12 %")
    for key in ("memory", "speed", "step"):
        assert not stage.view.facts.is_elided(key), stage.view.facts.fact(key)


def test_a_speed_outside_the_predicted_range_is_said_plainly(stage: Stage, tmp_path: Path) -> None:
    show(stage, tmp_path / "slow", recorded(0.15, step_s_low=0.08, step_s_high=0.12))
    said = (
        "A step took 0.15 s, 50 % longer than predicted and outside the predicted range of "
        "80 ms to 0.12 s."
    )
    assert stage.view.strip.text() == said
    stage.view.set_estimate("about 4 min")
    assert stage.view.strip.text() == f"{said} Predicted for this design: about 4 min"
    show(stage, tmp_path / "within", recorded(0.11, step_s_low=0.08, step_s_high=0.12))
    assert stage.view.strip.text() == "Predicted for this design: about 4 min"


def test_started_without_floors_or_predictions(stage: Stage, tmp_path: Path) -> None:
    events = [Started(0, 10, 0, 1, "cpu", "fp32", 1, 0, 0, 2), *scene("early")[2:]]
    stage.bridge.attach(write_run(tmp_path / "bare", events).path)
    stage.wait(lambda: stage.bridge.state == "interrupted")
    stage.view.refresh()
    assert stage.view.facts.fact("epoch") == "–"
    assert stage.view.facts.fact("memory") == "41.3 MiB"
    assert stage.view.chart.plots.floor_labels() == []
