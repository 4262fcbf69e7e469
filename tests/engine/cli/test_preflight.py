"""``preflight``, and what the other commands say of a card that cannot train."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.cli import preflight as command
from engine.devices import interpreter
from engine.devices.interpreter import remember, remembered
from engine.devices.preflight import preflight
from engine.devices.tenstorrent import Discovery, present_cards
from engine.launch import create_run
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.devices import stand_in
from tests.engine.devices.recorded import device, driver_tree, on_path


@pytest.fixture(autouse=True)
def _no_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a tool of Tenstorrent nor a Python for a worker is found."""
    on_path(monkeypatch.setenv, tmp_path / "bin")
    monkeypatch.setattr(interpreter, "candidates", lambda: ())


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which everything is there; returns the worker's Python."""
    places = stand_in.ready_places(tmp_path / "machine")
    monkeypatch.setattr(command, "preflight", partial(preflight, places=places))
    return stand_in.python(tmp_path / "python")


def test_ready_is_status_0(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", "--device", "n150:0", "--python", str(ready)]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("training on n150:0 can start\n\nok       Kernel driver")
    assert f"{ready} is used for n150:0 by ttnn from now on." in captured.out
    assert captured.err == ""
    assert remembered() == {("n150:0", "ttnn"): ready}
    assert main(["preflight", "--device", "n150"]) == 0, "it is remembered"


def test_not_ready_is_status_2_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", "--device", "n300:0"]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("cannot train on n300:0: ")
    assert "missing  Card " in captured.out
    assert captured.err == ""


def test_json_is_one_document(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["preflight", "--device", "n150:0", "--python", str(ready), "--json"]
    assert main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["device"], document["ready"]) == ("n150:0", True)
    assert document["python"] == str(ready)
    assert document["checks"][0] == {
        "name": "driver", "title": "Kernel driver", "state": "ok", "found": "it is loaded",
        "advice": "", "needed": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "status", "lines"),
    [
        (
            ["precision=bf16-mixed"], 0,
            ["ok       This design                 can be trained on cards",
             "ok       Memory                      977 MiB of 12.0 GiB on one chip"],
        ),
        ([], 0, ["ok       This design                 can be trained on cards",
                 "ok       Memory                      977 MiB of 12.0 GiB on one chip"]),
        (
            ["precision=fp32"], 2,
            ["missing  This design                 precision: a Tenstorrent card multiplies",
             "         Set precision = bf16-mixed"],
        ),
        (
            ["precision=bf16-mixed", "batch_size=1024"], 2,
            ["missing  Memory                      training needs ",
             "         Set gradient_checkpointing = yes, batch_size = "],
        ),
        (
            ["precision=bf16-mixed", "model.num_layers=128", "model.hidden_dim=8192"], 2,
            ["missing  Memory                      training needs ",
             "         A smaller model fits"],
        ),
    ],
)  # fmt: skip
def test_a_design_is_checked_with_its_card(
    ready: Path, capsys: pytest.CaptureFixture[str], settings: list[str], status: int,
    lines: list[str],
) -> None:  # fmt: skip
    changes = [word for setting in settings for word in ("--set", setting)]
    arguments = ["preflight", "nano-trickster", "--device", "n150", "--python", str(ready)]
    assert main([*arguments, *changes]) == status
    out = capsys.readouterr().out.splitlines()
    for line in lines:
        assert any(found.startswith(line) for found in out), (line, out)


def test_settings_belong_to_a_design(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", "--device", "n150", "--set", "precision=bf16"]) == 2
    assert "name one" in capsys.readouterr().err


def test_what_tt_train_needs_can_be_asked_without_a_design(
    ready: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["preflight", "--device", "n150", "--card-backend", "tt-train", "--python"]
    assert main([*asked, str(ready)]) == 2
    said = capsys.readouterr().out
    assert said.startswith("cannot train on n150:0 by tt-train: ttml is not installed")
    assert "missing  tt-train's ttml " in said
    built = stand_in.python_of_tt_train(tmp_path / "built")
    assert main([*asked, str(built)]) == 0
    assert capsys.readouterr().out.startswith("training on n150:0 by tt-train can start")
    assert remembered() == {("n150:0", "tt-train"): built}, "what ttnn trains with is another one"


@pytest.mark.parametrize(
    ("settings", "status", "lines"),
    [
        (
            ["batch_size=16"], 0,
            ["ok This design can be trained by tt-train",
             "ok Memory about 1",
             "it computes in bf16; in place of fp32"],
        ),
        (["batch_size=4096"], 0, ["unknown Memory about "]),
        (["optimizer=sgd"], 2, ["missing This design optimizer: tt-train is"]),
    ],
)  # fmt: skip
def test_a_design_is_checked_with_tt_train(
    ready: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str],
    status: int, lines: list[str],
) -> None:  # fmt: skip
    built = stand_in.python_of_tt_train(tmp_path / "built")
    settings = ["card_backend=tt-train", *settings]
    changes = [word for setting in settings for word in ("--set", setting)]
    arguments = ["preflight", "nano-trickster", "--device", "n150", "--python", str(built)]
    assert main([*arguments, *changes]) == status
    out = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in lines:
        assert any(found.startswith(line) for found in out), (line, out)


def test_without_a_name_the_first_card_here_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preflight"]) == 2
    assert "no Tenstorrent card is in this computer" in capsys.readouterr().err
    root = driver_tree(tmp_path, {0: {}, 1: device("p150b", "7", 2)})
    monkeypatch.setattr(command, "discover", lambda: Discovery(present_cards(root)))
    assert main(["preflight", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["device"] == "p150:0"


@pytest.mark.parametrize("python", ["/nowhere/python3", "/bin/true", "/"])
def test_a_program_that_is_no_python_is_refused(
    python: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preflight", "--device", "n150:0", "--python", python, "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"engine preflight: {python} cannot be used as a Python: ")
    assert remembered() == {}


def test_a_python_of_another_version_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = stand_in.python(tmp_path / "old", version=(3, 11))
    assert main(["preflight", "--device", "n150:0", "--python", str(old)]) == 2
    assert "is Python 3.11.4; ttnn exists for 3.10 and 3.12 only" in capsys.readouterr().err
    assert remembered() == {}


@pytest.mark.parametrize("name", ["cpu", "n151", "", "\x1b[31m"])
def test_a_device_that_is_no_card_is_bad_input(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preflight", "--device", name]) == 2
    assert "is not a Tenstorrent card" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_training_on_a_card_ends_at_once_with_the_list(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["train", "nano-trickster", "--device", "n150:0", "--run", str(run)]
    assert main([*arguments, *more]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, *rest = captured.err.splitlines()
    assert first.startswith("engine train: device: cannot train on n150:0: ")
    assert any(line.startswith("missing  Card ") for line in rest)
    assert any("make tenstorrent-env" in line for line in rest)
    assert not run.exists()


def test_training_by_tt_train_ends_at_once_with_what_it_needs(
    ready: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remember("n300:0", ready, "tt-train")
    run = tmp_path / "run"
    arguments = ["train", "nano-trickster", "--device", "n300:0", "--run", str(run)]
    assert main([*arguments, "--set", "card_backend=tt-train"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("engine train: device: cannot train on n300:0 by tt-train: ")
    assert any(line.startswith("missing  tt-train's ttml ") for line in err.splitlines())
    assert "ttml (optional)" not in err
    assert not run.exists()


def test_going_on_with_a_run_on_a_card_ends_the_same_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create_run(ModelSpec(), RunSpec(device="n150:0"), "x", tmp_path / "run")
    assert main(["resume", str(tmp_path / "run"), "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, *rest = captured.err.splitlines()
    assert first.startswith("engine resume: device: cannot train on n150:0: ")
    assert any(line.startswith("missing  Card ") for line in rest)


def test_preflight_loads_no_torch_and_no_numpy() -> None:
    code = (
        "import sys; from engine.__main__ import main; main(['preflight', '--device', 'n150:0']); "
        "sys.exit(bool({'torch', 'numpy', 'ttnn'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=False, capture_output=True)
    assert done.returncode == 0
