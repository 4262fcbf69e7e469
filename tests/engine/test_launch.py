"""Creating, listing and launching runs, without torch in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.devices import preflight
from engine.devices.interpreter import remember
from engine.devices.preflight import CardNotReadyError
from engine.events import Finished, Started, Step, Validation
from engine.launch import (
    create_run,
    discard,
    engine_alone,
    launch,
    list_runs,
    summarize,
    worker_environment,
)
from engine.locations import runs_home
from engine.parameter import SpecError
from engine.run_directory import EventWriter, RunDirectory, RunDirectoryError
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.devices import stand_in

SPEC, RUN = ModelSpec(), RunSpec(steps=200)
CARD_RUN = RUN.replace(device="n150:0", precision="bf16-mixed")


def test_runs_get_folders_of_their_own_named_by_time_and_title() -> None:
    first, second = create_run(SPEC, RUN, "My Run: Ünï!"), create_run(SPEC, RUN, "My Run: Ünï!")
    assert first.path != second.path
    assert first.path.parent == runs_home()
    assert "my-run-n" in first.path.name
    assert first.record().title == "My Run: Ünï!"
    assert first.record().run == RUN


@pytest.mark.parametrize("title", ["", "///", "..", "\0", "x" * 5_000, "日本"])
def test_any_title_makes_a_folder_below_the_home_of_runs(title: str) -> None:
    assert create_run(SPEC, RUN, title).path.parent == runs_home()


def test_a_run_that_cannot_be_built_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        create_run(SPEC.replace(num_heads=7), RUN, "x", tmp_path / "run")
    with pytest.raises(SpecError):
        create_run(SPEC, RUN.replace(seq_len=4_096), "x", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunDirectoryError, match="cannot write"):
        create_run(SPEC, RUN, "x", tmp_path / "file" / "run")


def filled(path: Path, title: str = "run") -> RunDirectory:
    directory = create_run(SPEC, RUN, title, path)
    writer = EventWriter(directory.events_file)
    writer.write(Started(0, 200, 1, 1, "cpu", "fp32", 1, 1, 1, 1))
    writer.write(Validation(10, 10, 3.5, 5, best=True))
    for step in range(1, 151):
        writer.write(Step(step, step, 4.0 - step / 100, 1e-3, 1.0, 0.1, 10.0))
    writer.close()
    return directory


def test_a_summary_has_the_latest_numbers(tmp_path: Path) -> None:
    directory = filled(tmp_path / "run", "a title")
    found = summarize(directory)
    assert (found.title, found.step, found.total_steps) == ("a title", 150, 200)
    assert (found.loss, found.validation_loss, found.state) == (2.5, 3.5, "interrupted")
    writer = EventWriter(directory.events_file)
    writer.write(Finished(150, "stopped"))
    writer.close()
    assert summarize(directory).state == "finished"


def test_the_list_is_newest_first_and_passes_over_what_is_damaged(tmp_path: Path) -> None:
    filled(tmp_path / "b")
    create_run(SPEC, RUN, "fresh", tmp_path / "a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    broken = filled(tmp_path / "broken")
    broken.run_file.write_text("{")
    torn = filled(tmp_path / "torn")
    torn.events_file.write_bytes(b"\xff\x00junk\n{" + b"x" * 100)
    found = list_runs(tmp_path)
    assert [run.path.name for run in found] == ["torn", "a", "b"]
    assert found[0].loss is None
    assert found[1].step == 0
    assert list_runs(tmp_path / "nowhere") == ()


def test_the_worker_finds_this_very_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    environment = worker_environment()
    first, rest = environment["PYTHONPATH"].split(os.pathsep)
    assert (Path(first) / "engine" / "launch.py").is_file()
    assert rest == "elsewhere"


def test_another_interpreter_finds_the_engine_and_none_of_this_one_s_packages(
    tmp_path: Path,
) -> None:
    package = tmp_path / "lib" / "site-packages" / "engine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package.parent / "numpy.py").write_text("")
    for _ in range(2):
        alone = engine_alone(package)
        assert [entry.name for entry in alone.iterdir()] == ["engine"]
        assert (alone / "engine").resolve() == package
    moved = tmp_path / "other" / "site-packages" / "engine"
    moved.mkdir(parents=True)
    assert (engine_alone(moved) / "engine").resolve() == moved
    checkout = tmp_path / "checkout" / "engine"
    assert engine_alone(checkout) == checkout.parent


def test_waiting_threads_of_a_worker_sleep_unless_somebody_decided_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert worker_environment()["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert worker_environment()["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_run_is_not_started_twice_by_mistake(tmp_path: Path) -> None:
    directory = filled(tmp_path / "run")
    with pytest.raises(RunDirectoryError, match="resume it"):
        launch(directory)
    with pytest.raises(RunDirectoryError, match="holds no run"):
        launch(RunDirectory(tmp_path))


def test_an_interpreter_that_is_not_there_says_so(tmp_path: Path) -> None:
    directory = create_run(SPEC, RUN, "x", tmp_path / "run")
    with pytest.raises(RunDirectoryError, match="cannot start"):
        launch(directory, interpreter=tmp_path / "python")


def test_a_worker_starts_under_this_python_unless_another_is_named(tmp_path: Path) -> None:
    other = stand_in.python(tmp_path / "other")
    process = launch(create_run(SPEC, RUN, "x", tmp_path / "run"), interpreter=other)
    assert process.wait(10) == 0
    assert "engine.worker" in (tmp_path / "other" / "started").read_text().split()
    plain = launch(create_run(SPEC, RUN.replace(corpus="nowhere.txt"), "x", tmp_path / "plain"))
    assert isinstance(plain.args, list)
    assert plain.args[0] == sys.executable
    assert plain.wait(60) == 1


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with everything that a card needs; returns the Python chosen for it."""
    places = stand_in.ready_places(tmp_path / "machine")
    monkeypatch.setattr(preflight, "Places", lambda: places)
    python = stand_in.python(tmp_path / "chosen")
    remember("n150:0", python)
    return python


@pytest.mark.parametrize("device", ["n150:0", "n150"])
def test_a_card_s_worker_starts_under_the_python_chosen_for_it(
    tmp_path: Path, card: Path, device: str
) -> None:
    directory = create_run(SPEC, CARD_RUN.replace(device=device), "x", tmp_path / "run")
    process = launch(directory)
    assert isinstance(process.args, list)
    assert process.args[0] == str(card)
    assert process.wait(10) == 0
    told = (tmp_path / "chosen" / "started").read_text().splitlines()
    assert told[:3] == ["-m", "engine.backends.tenstorrent.worker", str(directory.path)]


def test_a_card_that_lacks_something_starts_nothing_and_says_what(
    tmp_path: Path, card: Path
) -> None:
    (tmp_path / "chosen" / "site" / "ttnn" / "__init__.py").write_text("raise ImportError('numa')")
    directory = create_run(SPEC, CARD_RUN, "x", tmp_path / "run")
    with pytest.raises(CardNotReadyError, match="ttnn cannot be imported: ImportError: numa"):
        launch(directory)
    with pytest.raises(CardNotReadyError, match="cannot be used"):
        launch(directory, interpreter=tmp_path / "nowhere")
    assert not (tmp_path / "chosen" / "started").exists()
    assert not directory.log_file.exists()


def test_a_design_that_cards_cannot_train_starts_nothing(tmp_path: Path, card: Path) -> None:
    directory = create_run(SPEC, RUN.replace(device="n150:0", precision="fp32"), "x",
                           tmp_path / "run")  # fmt: skip
    with pytest.raises(SpecError, match="would not be the fp32") as caught:
        launch(directory)
    assert caught.value.field == "precision"
    assert not (tmp_path / "chosen" / "started").exists()


def test_a_run_moves_to_a_card_and_away_from_it(tmp_path: Path, card: Path) -> None:
    """The worker is the one of the device that was named, and is told of it."""
    directory = create_run(SPEC, CARD_RUN.replace(device="cpu"), "x", tmp_path / "run")
    assert launch(directory, resume=True, device="n150").wait(10) == 0
    told = (tmp_path / "chosen" / "started").read_text().splitlines()
    assert told[1] == "engine.backends.tenstorrent.worker"
    assert told[-2:] == ["--device", "n150"]
    other = stand_in.python(tmp_path / "other")
    back = create_run(SPEC, CARD_RUN.replace(device="n150"), "x", tmp_path / "back")
    assert launch(back, interpreter=other, resume=True, device="cpu").wait(10) == 0
    told = (tmp_path / "other" / "started").read_text().splitlines()
    assert (told[1], told[-2:]) == ("engine.worker", ["--device", "cpu"])


@pytest.fixture
def tt_metal(tmp_path: Path, card: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same machine, whose chosen Python is that of tt-metal built from source."""
    for name in ("TT_METAL_HOME", "TT_METAL_RUNTIME_ROOT"):
        monkeypatch.delenv(name, raising=False)
    python = stand_in.tt_metal(tmp_path / "metal", stand_in.python_of_tt_train(tmp_path / "built"))
    remember("n150:0", python)
    return python


def test_a_run_by_tt_train_starts_its_worker(tmp_path: Path, tt_metal: Path) -> None:
    run = CARD_RUN.replace(card_backend="tt-train")
    directory = create_run(SPEC, run, "x", tmp_path / "run")
    process = launch(directory)
    assert isinstance(process.args, list)
    assert process.args[0] == str(tt_metal)
    assert process.wait(10) == 0
    told = (tmp_path / "built" / "started").read_text().splitlines()
    assert told[:3] == ["-m", "engine.backends.tt_train.worker", str(directory.path)]
    assert "--card-backend" not in told, "it stands in the run's record"
    here = create_run(SPEC, run.replace(device="cpu"), "x", tmp_path / "here")
    other = stand_in.python(tmp_path / "other")
    assert launch(here, interpreter=other).wait(10) == 0
    assert "engine.worker" in (tmp_path / "other" / "started").read_text().splitlines()


def test_a_card_s_worker_finds_the_tt_metal_that_its_python_belongs_to(
    tmp_path: Path, tt_metal: Path
) -> None:
    started = tmp_path / "built" / "bin" / "python3"
    started.write_text(started.read_text() + f'\nenv > "{tmp_path / "environment"}"\n')
    run = CARD_RUN.replace(card_backend="tt-train")
    assert launch(create_run(SPEC, run, "x", tmp_path / "run")).wait(10) == 0
    environment = (tmp_path / "environment").read_text().splitlines()
    assert f"TT_METAL_HOME={tmp_path / 'metal'}" in environment
    assert f"TT_METAL_RUNTIME_ROOT={tmp_path / 'metal'}" in environment


def test_without_ttml_nothing_is_started_by_tt_train(tmp_path: Path, card: Path) -> None:
    directory = create_run(SPEC, CARD_RUN, "x", tmp_path / "run")
    with pytest.raises(CardNotReadyError, match="by tt-train: ttml is not installed"):
        launch(directory, card_backend="tt-train")
    assert not (tmp_path / "chosen" / "started").exists()


def test_a_run_goes_on_by_the_other_trainer(tmp_path: Path, tt_metal: Path) -> None:
    directory = create_run(SPEC, CARD_RUN, "x", tmp_path / "run")
    assert launch(directory, resume=True, card_backend="tt-train").wait(10) == 0
    told = (tmp_path / "built" / "started").read_text().splitlines()
    assert told[1] == "engine.backends.tt_train.worker"
    assert told[-2:] == ["--card-backend", "tt-train"]


def test_discard_removes_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    directory = create_run(SPEC, RUN, "x", tmp_path / "run")
    (directory.path / "mine.txt").write_text("kept")
    discard(directory)
    assert [entry.name for entry in directory.path.iterdir()] == ["mine.txt"]
    whole = create_run(SPEC, RUN, "x", tmp_path / "other")
    discard(whole)
    assert not whole.path.exists()


def test_launching_and_listing_load_no_torch_and_no_numpy() -> None:
    code = "import sys, engine.launch; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
