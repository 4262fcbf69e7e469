"""Training on a card as a person types it, from the command to the checkpoint and on with torch.

The computer and the worker's Python are stand-ins; the worker is the cards' own, in a process of
its own without torch, with kernels of numpy that only tests have.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.cli.progress import ProgressPrinter
from engine.devices import preflight
from engine.devices.interpreter import remember
from engine.events import (
    Event,
    Failed,
    Finished,
    Preparing,
    Sample,
    Saved,
    Started,
    Step,
    Validation,
)
from engine.run_directory import RunDirectory
from tests.engine.backends.tenstorrent import numpy_worker
from tests.engine.cli.card_runs import (
    interrupt,
    interrupt_twice,
    kill,
    kinds,
    train,
    while_training,
)
from tests.engine.devices import stand_in
from tests.engine.training.tiny import events, write_text

Machine = Callable[[str], None]
# Both sides round matrices to bf16, but not the same ones.
TOLERANCE = 5e-3


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes a computer with all that an n150 needs, whose worker computes in this way."""

    def make(kind: str) -> None:
        places = stand_in.ready_places(tmp_path / "machine")
        monkeypatch.setattr(preflight, "Places", lambda: places)
        python = stand_in.python(tmp_path / "python", worker=numpy_worker.command(kind))
        remember("n150:0", python)

    return make


def test_a_run_on_a_card_is_shown_and_recorded_as_every_other(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("rounded")
    assert main(train(tmp_path, "--steps", "20", "--set", "log_every=10")) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    out = captured.out.splitlines()
    assert out[0] == f"run: {tmp_path / 'run'}"
    assert any(line.startswith("opening n150:0; the first time its programs") for line in out)
    assert "warning: training on Tenstorrent cards is not yet verified on hardware" in out
    assert any("parameters on n150:0 (bf16-mixed)" in line for line in out)
    assert any(line.startswith("step 20/20  loss ") for line in out)
    assert any(line.startswith("completed at step 20, best validation loss") for line in out)

    run = RunDirectory(tmp_path / "run")
    assert kinds(run) == [
        Started, Validation, Sample, Step, Step, Validation, Sample, Saved, Step,
        Validation, Sample, Saved, Finished,
    ]  # fmt: skip
    (started,) = events(run, Started)
    assert started.predicted["peak_bytes"] > 1e5
    losses = [event.loss for event in events(run, Validation)]
    assert losses[0] > 3.2
    assert losses[-1] < losses[0] - 0.3
    assert run.record().device == "n150:0"
    assert "numpy" in run.record().versions
    assert run.checkpoint_steps()[-1] == 20
    assert not run.worker_alive()


def test_a_text_is_found_from_wherever_the_worker_is_run(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("rounded")
    write_text(tmp_path)
    monkeypatch.chdir(tmp_path)
    arguments = train(tmp_path, "--steps", "1")
    arguments[arguments.index("--corpus") + 1] = "text.txt"
    assert main(arguments) == 0
    assert RunDirectory(tmp_path / "run").record().run.corpus == str(tmp_path / "text.txt")


def test_what_a_card_began_torch_goes_on_with_and_the_other_way_round(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """From one checkpoint of the card, each of the two goes on to the same validation loss; and
    a card goes on from torch's as torch does."""
    machine("rounded")
    assert main(train(tmp_path, "--steps", "20", "--json")) == 0
    run = tmp_path / "run"
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(run, here)
    shutil.copytree(run, there)
    for steps in ("30", "40"):
        capsys.readouterr()
        # The one that was torch's goes to the card for the last ten steps, and back.
        one, other = ("cpu", "n150:0") if steps == "30" else ("n150", "cpu")
        assert main(["resume", str(here), "--device", one, "--steps", steps, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert main(["resume", str(there), "--device", other, "--steps", steps, "--json"]) == 0
        expected = json.loads(capsys.readouterr().out)
        assert found["step"] == expected["step"] == int(steps)
        assert found["validation_loss"] == pytest.approx(expected["validation_loss"], rel=TOLERANCE)
    assert [event.device for event in events(RunDirectory(here), Started)] == [
        "n150:0", "cpu", "n150:0"
    ]  # fmt: skip
    assert RunDirectory(here).record().run.device == "n150"


def test_a_run_in_fp32_goes_to_a_card_in_a_precision_that_cards_have(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("rounded")
    assert main(train(tmp_path, "--steps", "10", "--precision", "fp32", device="cpu")) == 0
    run = str(tmp_path / "run")
    capsys.readouterr()
    assert main(["resume", run, "--device", "n150", "--steps", "12"]) == 2
    assert "(fix: precision = bf16-mixed)" in capsys.readouterr().err
    assert RunDirectory(run).record().run.device == "cpu"
    moved = ["resume", run, "--device", "n150", "--steps", "12", "--precision", "bf16-mixed"]
    assert main(moved) == 0
    assert "(bf16-mixed)" in capsys.readouterr().out


def test_ctrl_c_stops_the_worker_with_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("rounded")
    run = RunDirectory(tmp_path / "run")
    status = while_training(run, train(tmp_path, "--steps", "100000"), Step, interrupt)
    assert status == 0
    out = capsys.readouterr().out
    assert "stopped at step" in out
    assert f"python -m engine resume {run.path}" in out
    (end,) = events(run, Finished)
    assert run.checkpoint_steps()[-1] == end.step
    assert not run.worker_alive()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path, machine: Machine) -> None:
    machine("stuck")
    run = RunDirectory(tmp_path / "run")
    command = train(tmp_path, "--steps", "10")
    assert while_training(run, command, Preparing, lambda: interrupt_twice(run)) == 130
    assert not run.worker_alive()


def test_who_reads_the_progress_may_go_and_the_run_is_saved(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in: engine train … | head."""
    machine("rounded")

    def gone(self: ProgressPrinter, event: Event) -> None:
        if isinstance(event, Step):
            raise OSError("nobody reads this")

    monkeypatch.setattr(ProgressPrinter, "__call__", gone)
    assert main(train(tmp_path, "--steps", "100000")) == 2
    run = RunDirectory(tmp_path / "run")
    (end,) = events(run, Finished)
    assert (end.reason, run.checkpoint_steps()[-1]) == ("stopped", end.step)


def test_a_card_that_computes_nothing_ends_the_run_before_it_begins(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("zeros")
    assert main(train(tmp_path, "--steps", "20")) == 2
    err = capsys.readouterr().err
    assert err.startswith("engine train: n150:0 failed its self-check: the gradient of ")
    assert "a mock device of ttnn computes nothing" in err
    assert "python -m engine preflight --device n150:0" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_driver_that_takes_the_worker_with_it_is_told(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("dies")
    assert main(train(tmp_path, "--steps", "20")) == 2
    assert "the worker ended by SIGABRT before it had begun" in capsys.readouterr().err
    assert (tmp_path / "run" / "log.txt").exists(), "kept, for whoever looks into it"


def test_a_worker_that_is_killed_is_told_and_the_run_goes_on_from_its_checkpoint(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("rounded")
    run = RunDirectory(tmp_path / "run")
    command = train(tmp_path, "--steps", "100000")
    assert while_training(run, command, Saved, lambda: kill(run)) == 1
    err = capsys.readouterr().err
    assert "engine train: the worker ended by SIGKILL" in err
    assert "resume the run" in err
    last = run.checkpoint_steps()[-1]
    assert main(["resume", str(run.path), "--steps", str(last + 1)]) == 0
    assert events(run, Started)[-1].step == last


def test_a_preset_goes_on_a_card_in_a_precision_that_it_has(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """A preset says no precision: the fp32 of torch is nothing that a person chose."""
    machine("rounded")
    small = ["hidden_dim=32", "num_layers=1", "num_heads=2", "mlp_dim=64", "max_seq_len=32"]
    sizes = [part for of in small for part in ("--set", f"model.{of}")]
    run = tmp_path / "run"
    assert main(
        ["train", "first-minute", "--device", "n150", "--run", str(run), "--steps", "3",
         "--corpus", str(write_text(tmp_path)), "--batch", "2", "--seq", "32", *sizes]
    ) == 0  # fmt: skip
    assert "precision: bf16-mixed, since a Tenstorrent card has no fp32" in capsys.readouterr().out
    assert RunDirectory(run).record().run.precision == "bf16-mixed"


def test_what_cannot_be_resumed_is_said_by_the_worker(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("rounded")
    assert main(train(tmp_path, "--steps", "10")) == 0
    capsys.readouterr()
    assert main(["resume", str(tmp_path / "run")]) == 2
    assert "10 steps are done already: ask for more than 10" in capsys.readouterr().err
    assert not events(RunDirectory(tmp_path / "run"), Failed)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--precision", "fp32"], "precision: a Tenstorrent card multiplies matrices in 19 bits"),
        (["--set", "optimizer=adafactor"], "optimizer: the Tenstorrent backend has AdamW"),
        (["--batch", "60000", "--set", "model.hidden_dim=256"], "training needs "),
    ],
)
def test_what_cards_cannot_train_is_refused_before_anything_is_made(
    tmp_path: Path, machine: Machine, capsys: pytest.CaptureFixture[str],
    changes: list[str], said: str,
) -> None:  # fmt: skip
    machine("rounded")
    assert main(train(tmp_path, "--steps", "10", *changes)) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "(fix: " in err
    assert not (tmp_path / "run").exists()
