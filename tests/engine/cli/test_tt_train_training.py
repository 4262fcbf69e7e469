"""Training by tt-train as a person types it, from the command to the checkpoint and on elsewhere.

The computer, with an n300 of two chips, and the worker's Python are stand-ins; the worker is
tt-train's own, in a process of its own without torch, whose ttml is the double that only tests
have.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.devices import preflight
from engine.devices.interpreter import remember
from engine.events import (
    Failed,
    Finished,
    Preparing,
    Sample,
    Saved,
    Started,
    Step,
    Validation,
    Warned,
)
from engine.run_directory import RunDirectory
from tests.engine.backends.tenstorrent import numpy_worker
from tests.engine.backends.tt_train import double_worker
from tests.engine.cli.card_runs import (
    interrupt,
    interrupt_twice,
    kill,
    kinds,
    train,
    while_training,
)
from tests.engine.devices import stand_in
from tests.engine.training.tiny import events

Machine = Callable[[str], None]
CARD = "n300:0"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes a computer with all that tt-train needs of it, whose card behaves in this way."""

    def make(kind: str) -> None:
        places = stand_in.ready_places(tmp_path / "machine", "n300")
        monkeypatch.setattr(preflight, "Places", lambda: places)
        worker = double_worker.command(kind)
        remember(CARD, stand_in.python_of_tt_train(tmp_path / "python", worker), "tt-train")

    return make


def by_tt_train(folder: Path, *more: str, device: str = CARD) -> list[str]:
    """The tiny design of all runs on cards as tt-train has it: a Llama, heads of a whole tile."""
    chosen = (
        "card_backend=tt-train", "model.hidden_dim=64", "model.norm=rmsnorm",
        "model.activation=swiglu", "model.position=rope", "model.qkv_bias=off",
        "model.attention_output_bias=off", "model.mlp_bias=off", "model.dropout=0",
    )  # fmt: skip
    settings = [word for setting in chosen for word in ("--set", setting)]
    return train(folder, *settings, *more, device=device)


def long_run(folder: Path) -> list[str]:
    """One that somebody has to end."""
    return by_tt_train(folder, "--steps", "100000")


def test_a_run_by_tt_train_is_shown_and_recorded_as_every_other(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("learns")
    assert main(by_tt_train(tmp_path, "--steps", "20", "--set", "log_every=10")) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    out = captured.out.splitlines()
    assert "warning: training by tt-train is not yet verified on hardware" in out
    assert any("parameters on n300:0 (bf16-mixed)" in line for line in out)
    assert any(line.startswith("completed at step 20, best validation loss") for line in out)

    run = RunDirectory(tmp_path / "run")
    assert kinds(run) == [
        Started, Validation, Sample, Step, Step, Validation, Sample, Saved, Step,
        Validation, Sample, Saved, Finished,
    ]  # fmt: skip
    losses = [event.loss for event in events(run, Validation)]
    assert losses[-1] < losses[0]
    record = run.record()
    assert (record.device, record.run.card_backend) == (CARD, "tt-train")
    assert "ttml" in record.versions
    assert run.checkpoint_steps()[-1] == 20
    assert not run.worker_alive()


def test_what_tt_train_began_torch_goes_on_with_and_the_other_way_round(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("learns")
    assert main(by_tt_train(tmp_path, "--steps", "20")) == 0
    run = str(tmp_path / "run")
    for device, steps in (("cpu", "24"), (CARD, "28")):
        capsys.readouterr()
        assert main(["resume", run, "--device", device, "--steps", steps, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["step"] == int(steps)
    record = RunDirectory(run)
    assert [(event.device, event.step) for event in events(record, Started)] == [
        (CARD, 0), ("cpu", 20), (CARD, 24),
    ]  # fmt: skip
    assert record.record().run.card_backend == "tt-train"


def test_a_run_of_our_own_graph_goes_on_by_tt_train(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("learns")
    built = tmp_path / "python" / "bin" / "python3"
    ours = stand_in.python(tmp_path / "ours", worker=numpy_worker.command("rounded"))
    remember(CARD, ours)
    remember(CARD, ours, "tt-train")
    assert main(by_tt_train(tmp_path, "--steps", "4", "--set", "card_backend=ttnn")) == 0
    said = capsys.readouterr().out
    assert "warning: n300:0 has several chips; one of them computes. tt-train would use all" in said
    run = ["resume", str(tmp_path / "run"), "--steps", "8", "--card-backend", "tt-train"]
    assert main(run) == 2, "the Python that was chosen for tt-train has no ttml"
    assert "ttml is not installed" in capsys.readouterr().err
    remember(CARD, built, "tt-train")
    assert main(run) == 0
    assert "by tt-train is not yet verified" in capsys.readouterr().out
    record = RunDirectory(tmp_path / "run").record()
    assert (record.run.card_backend, record.run.steps) == ("tt-train", 8)


def test_ctrl_c_stops_the_worker_with_a_checkpoint_and_the_run_goes_on(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("learns")
    run = RunDirectory(tmp_path / "run")
    assert while_training(run, long_run(tmp_path), Step, interrupt) == 0
    assert f"python -m engine resume {run.path}" in capsys.readouterr().out
    (end,) = events(run, Finished)
    assert (end.reason, run.checkpoint_steps()[-1]) == ("stopped", end.step)
    assert not run.worker_alive()
    assert main(["resume", str(run.path), "--steps", str(end.step + 1)]) == 0
    assert events(run, Started)[-1].step == end.step


def test_a_second_ctrl_c_ends_a_worker_that_its_driver_holds(
    tmp_path: Path, machine: Machine
) -> None:
    machine("stuck")
    run = RunDirectory(tmp_path / "run")
    command = long_run(tmp_path)
    assert while_training(run, command, Preparing, lambda: interrupt_twice(run)) == 130
    assert not run.worker_alive()


def test_a_worker_that_is_killed_is_told_and_the_run_goes_on_from_its_checkpoint(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("learns")
    run = RunDirectory(tmp_path / "run")
    assert while_training(run, long_run(tmp_path), Saved, lambda: kill(run)) == 1
    assert "engine train: the worker ended by SIGKILL" in capsys.readouterr().err
    last = run.checkpoint_steps()[-1]
    assert main(["resume", str(run.path), "--steps", str(last + 1)]) == 0
    assert events(run, Started)[-1].step == last


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("batch_size=3", "batch_size: 3 sequences cannot be shared evenly among the 2 chips"),
        ("optimizer=sgd", "optimizer: tt-train is driven with AdamW here"),
        ("model.norm=layernorm", "norm: tt-train has no model of this design"),
        ("loss_chunk=8", "loss_chunk: tt-train takes the loss of a whole batch"),
        ("card_backend=ttml", "card_backend: ttml is not one of: ttnn, tt-train"),
    ],
)
def test_what_tt_train_cannot_train_is_refused_before_anything_is_made(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str], change: str, said: str
) -> None:
    machine("learns")
    arguments = [word for word in by_tt_train(tmp_path) if word not in ("--batch", "4")]
    assert main([*arguments, "--set", change]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "(fix: " in err
    assert not (tmp_path / "run").exists()


def test_what_differs_from_our_own_training_is_told_as_it_begins(
    tmp_path: Path, machine: Machine
) -> None:
    machine("learns")
    assert main(by_tt_train(tmp_path, "--steps", "1", "--set", "model.dropout=0.1")) == 0
    run = RunDirectory(tmp_path / "run")
    told = [event.message for event in events(run, Warned)]
    assert any("dropout is not applied to attention's scores" in message for message in told)
    assert not events(run, Failed)
