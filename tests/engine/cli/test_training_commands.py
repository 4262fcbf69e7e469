"""train, resume, generate and calibrate as a person types them."""

from __future__ import annotations

import io
import json
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.cli.progress import ProgressPrinter, foretold_and_measured
from engine.cost.calibration import calibration_path, load_calibration
from engine.events import Finished, Preparing, Started, Step, Validation, Warned
from engine.locations import runs_home
from engine.run_directory import RunDirectory
from engine.training import calibrate as calibration
from tests.engine.backends.card.numpy_model import train_card
from tests.engine.backends.card.test_loop import at_step, card_run
from tests.engine.training.tiny import write_text

TINY = [
    "--set", "model.hidden_dim=32", "--set", "model.num_layers=1", "--set", "model.num_heads=2",
    "--set", "model.mlp_dim=32", "--set", "model.max_seq_len=16", "--set", "model.vocab_size=32",
    "--set", "validation_tokens=320", "--set", "sample_tokens=8", "--set", "threads=1",
    "--set", "compile=off", "--batch", "4", "--device", "cpu",
]  # fmt: skip


def train_command(folder: Path, *more: str) -> list[str]:
    text = folder / "text.txt"
    if not text.exists():
        write_text(folder)
    return ["train", "first-minute", "--corpus", str(text), *TINY, *more]


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    captured = capsys.readouterr()
    assert captured.err == ""
    document = json.loads(captured.out)
    assert isinstance(document, dict)
    return document


def test_train_resume_and_generate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    assert main(train_command(tmp_path, "--run", run, "--steps", "12", "--json")) == 0
    first = answer(capsys)
    assert (first["result"], first["step"]) == ("completed", 12)
    assert first["checkpoints"] == [12]
    assert main(["resume", run, "--steps", "15", "--json"]) == 0
    second = answer(capsys)
    assert second["step"] == 15
    assert main(["resume", run]) == 2
    assert "15 steps are done already: ask for more than 15" in capsys.readouterr().err

    arguments = ["generate", run, "--prompt", "the é", "--max-new-tokens", "9", "--seed", "4"]
    assert main([*arguments, "--json"]) == 0
    written = answer(capsys)
    assert written["unknown_characters"] == ["é"]
    assert len(written["ids"]) == 9  # type: ignore[arg-type]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == f"the é{written['text']}\n"
    assert "'é'" in captured.err
    assert main([*arguments, "--step", "12", "--json"]) == 0
    assert answer(capsys)["step"] == 12
    assert main([*arguments, "--best", "--json"]) == 0
    assert answer(capsys)["step"] in (12, 15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "at least 1"),
        (["--steps", "many"], "not a whole number"),
        (["--lr", "nan"], "not a finite number"),
        (["--seq", "17"], "do not fit the context"),
        (["--precision", "fp8"], "not one of"),
        (["--set", "speed=9"], "not a setting"),
        (["--set", "model.depth=9"], "not a parameter of a model"),
        (["--set", "model.num_heads=5"], "not divisible"),
        (["--device", "gpu9"], "is not a device"),
        (["--corpus", "nowhere.txt"], "neither a text of the catalogue"),
        (["--set", "model.vocab_size=4"], "different characters"),
        (["--set", "warmup_steps=3000"], "longer than the run"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    run = tmp_path / "run"
    assert main(train_command(tmp_path, "--run", str(run), "--json", *arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not run.exists()


@pytest.mark.parametrize("content", [None, b"", b"\x7fELF\0\1\2", b"too short"])
def test_a_text_that_cannot_be_learned_leaves_no_folder_made_by_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    text = tmp_path / "bad.txt"
    if content is not None:
        text.write_bytes(content)
    assert main(["train", "first-minute", "--corpus", str(text), *TINY]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    home = runs_home()
    assert not home.exists() or not list(home.iterdir())
    if content is None:
        assert "run:" not in captured.out, "said before anything is made"
        assert not home.exists()


def test_divergence_is_said_in_the_name_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    wild = ["--set", "optimizer=sgd", "--lr", "10", "--set", "grad_clip=0", "--set",
            "warmup_steps=40", "--set", "save_every=2", "--steps", "60", "--run", run]  # fmt: skip
    assert main(train_command(tmp_path, *wild)) == 1
    assert capsys.readouterr().err.startswith("engine train: the ")
    assert main(["resume", run]) == 1
    assert capsys.readouterr().err.startswith("engine resume: the ")


def test_the_time_left_is_said_once_it_is_known() -> None:
    stream = io.StringIO()
    printer = ProgressPrinter(stream)
    printer(Started(0, 9, 1, 10, "cpu", "fp32", 8, 90, 10, 5, {}))
    for step in range(1, 8):
        printer(Step(step, 8 * step, 2.0, 1e-3, 1.0, 0.1, 80.0))
    lines = [line for line in stream.getvalue().splitlines() if line.startswith("step ")]
    assert [line.endswith(" left") for line in lines] == [False] * 5 + [True] * 2
    assert lines[0] == "step 1/9  loss 2.0000  80 tokens/s"


def test_a_run_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    assert main(train_command(tmp_path, "--run", str(run))) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert (run / "run.json").read_text() == "{}"


def test_a_run_that_a_card_began_goes_on_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = card_run(tmp_path, learning_rate=1e-3)
    train_card(directory, listener=at_step(directory, 13, "stop"))
    directory.commands_file.unlink()
    run = str(directory.path)
    assert main(["resume", run, "--device", "abacus"]) == 2
    assert "abacus" in capsys.readouterr().err
    assert directory.record().run.device == "n150"
    assert main(["resume", run, "--device", "n150"]) == 2
    assert "cannot train on n150:0" in capsys.readouterr().err
    assert main(["resume", run, "--device", "cpu", "--json"]) == 0
    assert answer(capsys)["step"] == 30
    assert directory.record().run.device == "cpu"
    assert [(s.step, s.device) for s in directory.events() if isinstance(s, Started)] == [
        (0, "n150:0"), (13, "cpu"),
    ]  # fmt: skip


def test_whether_a_run_could_go_on_is_told_and_nothing_is_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(train_command(tmp_path, "--run", str(run), "--steps", "4", "--json")) == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    check = ["resume", str(run), "--check"]
    assert main([*check, "--steps", "8", "--precision", "bf16-mixed"]) == 0
    assert capsys.readouterr().out == (
        "it can go on: device cpu, precision bf16-mixed, up to step 8\n"
    )
    assert main([*check, "--steps", "8", "--json"]) == 0
    assert answer(capsys) == {"possible": True}
    assert main([*check, "--json"]) == 2
    assert answer(capsys) == {
        "possible": False,
        "problem": {
            "field": "steps", "message": "4 steps are done already: ask for more than 4",
            "fix": {"steps": 8},
        },
    }  # fmt: skip
    assert main([*check, "--steps", "8", "--device", "n150:0", "--json"]) == 2
    assert "cannot train on n150:0" in str(answer(capsys)["problem"])
    assert main([*check, "--steps", "8", "--device", "cuda:7"]) == 2
    assert "cuda:7 is not here" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_run_on_the_text_of_another_python_is_refused_before_anything_is_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = RunDirectory(tmp_path / "run")
    assert main(train_command(tmp_path, "--run", str(directory.path), "--steps", "2")) == 0
    record = directory.record()
    directory.write_record(
        replace(
            record, run=record.run.replace(corpus="python-stdlib"), versions={"python": "3.9.1"}
        )
    )
    events = directory.events_file.read_bytes()
    assert main(["resume", str(directory.path), "--steps", "4"]) == 2
    assert "this run began with that of 3.9.1, and this is" in capsys.readouterr().err
    assert directory.events_file.read_bytes() == events


@pytest.mark.parametrize("command", ["resume", "generate"])
def test_a_folder_without_a_run_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_terminal_gets_one_line_that_is_rewritten_and_a_file_a_line_each() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    events = [
        Preparing("reading"),
        Started(
            0, 3, 1, 10, "cpu", "fp32", 8, 90, 10, 5, {"uniform": 1.6},
            {"peak_bytes": 40 << 20, "step_s": 0.041},
        ),
        Warned("careful"), Step(1, 8, 2.0, 1e-3, 1.0, 0.1, 80.0),
        Step(2, 16, 1.5, 1e-3, 1.0, 0.1, 80.0), Validation(2, 16, 1.75, 9, best=True),
        Step(3, 24, 1.25, 1e-3, 1.0, 0.1, 80.0),
        Finished(3, "completed", 1.75, 2, {"peak_bytes": 41 << 20, "step_s": 0.044}),
    ]  # fmt: skip
    shown = []
    for stream in (Terminal(), io.StringIO()):
        printer = ProgressPrinter(stream)
        for event in events:
            printer(event)
        shown.append(stream.getvalue())
    terminal, file = shown
    assert "\x1b" not in file
    assert [line for line in file.splitlines() if line.startswith("step 2/3")]
    assert "\r\x1b[Kstep 3/3  loss 1.2500  validation 1.7500" in terminal
    assert terminal.endswith(
        "completed at step 3, best validation loss 1.7500 at step 2\n"
        "memory: predicted 40.0 MiB, measured 41.0 MiB (+2.5 %); "
        "step: predicted 41 ms, measured 44 ms (+7 %)\n"
    )


def test_what_was_not_foretold_or_not_measured_is_left_out() -> None:
    assert foretold_and_measured({}, {"step_s": 0.044}) == "step: measured 44 ms"
    assert foretold_and_measured({"step_s": 0.041}, {}) == ""


def test_calibrate_measures_this_computer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "DESIGNS", calibration.DESIGNS[:3])
    monkeypatch.setattr(calibration, "_SECONDS", 0.05)
    command = ["calibrate", "--device", "cpu", "--threads", "1"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("fp32, 1 threads: 3 small designs, ")
    assert str(calibration_path()) in printed
    found = load_calibration("cpu")
    assert found is not None
    (speed,) = found.speeds
    assert (speed.precision, speed.threads, len(speed.steps)) == ("fp32", 1, 3)
    assert all(step.seconds > 0 for step in speed.steps)
    assert dict(found.machine) == calibration.fingerprint()
    assert main([*command, "--json"]) == 0
    document = answer(capsys)
    assert document["format"] == "trickster-calibration/2"
    assert len(document["speeds"]) == 1, "measured anew, not twice"  # type: ignore[arg-type]


def test_ctrl_c_stops_with_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The signal comes from a thread that watches the record, as a person would."""

    run = RunDirectory(tmp_path / "run")

    def interrupt() -> None:
        while not any(isinstance(event, Step) for event in run.events()):
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    try:
        status = main(train_command(tmp_path, "--run", str(run.path), "--steps", "100000"))
    finally:
        watcher.join()
    assert status == 0
    out = capsys.readouterr().out
    assert "stopped at step" in out
    assert f"python -m engine resume {run.path}" in out
    assert run.checkpoint_steps()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
