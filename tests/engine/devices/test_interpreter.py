"""Which Python a worker for a card runs under."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.devices import interpreter
from engine.devices.interpreter import (
    InterpreterError,
    ask,
    candidates,
    choose,
    find,
    remember,
    remembered,
    settings_file,
)
from tests.engine.devices import stand_in
from tests.engine.devices.recorded import program

HERE = Path(sys.executable)


def test_this_very_interpreter_answers() -> None:
    found = ask(HERE)
    assert found.version == sys.version_info[:3]
    assert found.problem == ""
    assert "numpy" in found.packages
    assert found.missing() == ()
    assert (found.ttnn_folder, found.ttml_real) == ("", None)


def test_an_environment_with_everything(tmp_path: Path) -> None:
    found = ask(stand_in.python(tmp_path), deep=True)
    assert found.problem == ""
    assert (found.version_text, found.supported) == ("3.12.4", True)
    assert found.packages["ttnn"] == "0.81.1"
    assert found.packages["numpy"] == "1.26.4"
    assert found.ttnn_folder == str(tmp_path / "site" / "ttnn")
    assert (found.ttnn_error, found.missing()) == ("", ())


@pytest.mark.parametrize(
    ("version", "supported"),
    [((3, 9), False), ((3, 10), True), ((3, 11), False), ((3, 12), True), ((3, 13), False)],
)
def test_versions_that_ttnn_exists_for(
    tmp_path: Path, version: tuple[int, int], supported: bool
) -> None:
    assert ask(stand_in.python(tmp_path, version=version)).supported is supported


def test_what_is_missing_is_named_as_pip_calls_it(tmp_path: Path) -> None:
    python = stand_in.python(tmp_path, {"numpy": "1.26.4", "psutil": "7"})
    assert ask(python).missing() == (
        "filelock", "platformdirs", "PyYAML", "safetensors", "tokenizers",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise ImportError('libmpi.so.40: not found')", "ImportError: libmpi.so.40: not found"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os; os.abort()", "python3 was ended by signal 6"),
        ("import os; os._exit(7)", "python3 ended with status 7"),
    ],
)
def test_a_ttnn_that_cannot_be_imported_says_why(tmp_path: Path, source: str, error: str) -> None:
    found = ask(stand_in.python(tmp_path, sources={"ttnn": source}), deep=True)
    assert found.supported
    assert found.packages["ttnn"] == "0.81.1"
    assert error in found.ttnn_error
    assert found.ttnn_folder == ""


def test_a_ttnn_that_hangs_or_chatters_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "DEEP_S", 1.0)
    hangs = stand_in.python(tmp_path / "a", sources={"ttnn": "import time; time.sleep(60)"})
    assert "did not answer within 1 s" in ask(hangs, deep=True).ttnn_error
    monkeypatch.setattr(interpreter, "DEEP_S", 30.0)
    chatters = stand_in.python(tmp_path / "b", sources={"ttnn": "while True: print('x' * 9999)"})
    assert "printed more than" in ask(chatters, deep=True).ttnn_error


def test_lines_that_a_library_prints_are_passed_over(tmp_path: Path) -> None:
    source = "print('2026-01-01 | INFO'); print('TRICKSTER-PROBE {torn')"
    found = ask(stand_in.python(tmp_path, sources={"ttnn": source}), deep=True)
    assert (found.ttnn_error, found.problem) == ("", "")
    assert found.ttnn_folder


def test_ttnn_is_only_imported_when_asked_deeply(tmp_path: Path) -> None:
    python = stand_in.python(tmp_path, sources={"ttnn": "raise SystemExit"})
    assert ask(python).ttnn_error == ""


def test_the_ttml_of_pypi_is_told_from_that_of_tt_train(tmp_path: Path) -> None:
    versions = {**stand_in.PACKAGES, "ttml": "0.1"}
    other = stand_in.python(tmp_path / "a", versions, sources={"ttml": "raise SystemExit(1)"})
    found = ask(other, deep=True)
    assert (found.ttml_real, found.ttml_error) == (False, ""), "it was never imported"
    real = stand_in.python(tmp_path / "b", versions)
    (tmp_path / "b" / "site" / "ttml" / "models").mkdir()
    assert ask(real, deep=True).ttml_real is True
    (tmp_path / "b" / "site" / "ttml" / "__init__.py").write_text("import _nothing")
    assert "No module named '_nothing'" in ask(real, deep=True).ttml_error


@pytest.mark.parametrize(
    "script",
    [
        "echo hello", "exit 1", "sleep 60", "yes", "kill -9 $$",
        """echo 'TRICKSTER-PROBE {"version": "3.12"}'""",
        """echo 'TRICKSTER-PROBE {"version": [3, true, 1e9]}'""",
        """echo 'TRICKSTER-PROBE []'""",
    ],
)  # fmt: skip
def test_programs_that_are_no_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(interpreter, "QUICK_S", 0.5)
    found = ask(program(tmp_path, "python3", script))
    assert (found.version, found.supported) == ((), False)
    assert found.problem


def test_nothing_there_is_no_python(tmp_path: Path) -> None:
    assert "could not be started" in ask(tmp_path / "python3").problem
    assert "could not be started" in ask(tmp_path).problem


# Finding


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a path without any interpreter; returns the folder that is on the path."""
    for name in ("VIRTUAL_ENV", "TT_METAL_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(interpreter, "_PROJECT", tmp_path / "project")
    monkeypatch.setattr(interpreter.sys, "executable", str(tmp_path / "none"))
    return tmp_path / "bin"


def link(at: Path, to: Path) -> Path:
    at.parent.mkdir(parents=True)
    at.symlink_to(to)
    return at


def test_where_interpreters_are_looked_for(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert candidates() == ()
    home = tmp_path / "home"
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "active"))
    monkeypatch.setenv("TT_METAL_HOME", str(tmp_path / "metal"))
    expected = [
        link(place / "bin" / "python", HERE)
        for place in (
            tmp_path / "project" / ".venv-tenstorrent", tmp_path / "active",
            tmp_path / "metal" / "python_env", home / ".tenstorrent-venv",
            home / "tt-metal" / "python_env",
        )
    ]  # fmt: skip
    for name in ("python3.12", "python3.10", "python3.11"):
        program(bare, name, "exit 0")
    expected += [bare / "python3.12", bare / "python3.10"]
    expected.append(link(home / ".pyenv" / "versions" / "3.10.13" / "bin" / "python", HERE))
    assert candidates() == tuple(expected)
    chosen = program(tmp_path / "chosen", "python3", "exit 0")
    remember("n150:0", chosen)
    assert candidates()[0] == chosen


def test_the_best_candidate_is_found(bare: Path, tmp_path: Path) -> None:
    assert find("n150:0") is None
    old = stand_in.python(tmp_path / "old", version=(3, 11))
    link(tmp_path / "home" / ".tenstorrent-venv" / "bin" / "python", old)
    assert find("n150:0") is None, "ttnn does not exist for it"
    plain = stand_in.python(tmp_path / "plain", {"numpy": "2.0"})
    bare.mkdir()
    (bare / "python3.12").symlink_to(plain)
    found = find("n150:0")
    assert found is not None
    assert found.path == bare / "python3.12"
    whole = stand_in.python(tmp_path / "whole", version=(3, 10))
    (bare / "python3.10").symlink_to(whole)
    found = find("n150:0")
    assert found is not None
    assert (found.path, found.version_text) == (bare / "python3.10", "3.10.4")
    assert found.ttnn_folder


def test_for_tt_train_one_that_has_ttml_is_the_best(bare: Path, tmp_path: Path) -> None:
    whole, metal = tmp_path / "whole", tmp_path / "home" / "tt-metal"
    bare.mkdir()
    (bare / "python3.12").symlink_to(stand_in.python(whole))
    link(tmp_path / "home" / ".tenstorrent-venv" / "bin" / "python", bare / "python3.12")
    found = find("n300:0", backend="tt-train")
    assert found is not None
    assert found.ttml_real is None, "none has it: the list will say so"
    made = stand_in.tt_metal(metal, stand_in.python_of_tt_train(tmp_path / "built"))
    found = find("n300:0", backend="tt-train")
    assert found is not None
    assert (found.path, found.ttml_real) == (made, True)
    found = find("n300:0")
    assert found is not None
    assert found.path == tmp_path / "home" / ".tenstorrent-venv" / "bin" / "python"
    remember("n300:0", bare / "python3.12", "tt-train")
    found = find("n300:0", backend="tt-train")
    assert found is not None
    assert found.path == bare / "python3.12", "what a person chose counts"


def test_each_trainer_of_a_card_has_a_python_of_its_own(bare: Path, tmp_path: Path) -> None:
    ours = stand_in.python(tmp_path / "ours")
    built = stand_in.python_of_tt_train(tmp_path / "built")
    choose("n300:0", ours)
    choose("n300:0", built, "tt-train")
    assert remembered() == {("n300:0", "ttnn"): ours, ("n300:0", "tt-train"): built}
    for backend, python in (("ttnn", ours), ("tt-train", built)):
        found = find("n300:0", backend=backend)
        assert found is not None
        assert found.path == python


@pytest.mark.parametrize("has_ttml", [True, False])
def test_a_choice_from_before_trainers_had_their_own_counts_until_there_is_another(
    bare: Path, tmp_path: Path, has_ttml: bool
) -> None:
    """It counts for ttnn, and for tt-train where it has what that needs."""
    make = stand_in.python_of_tt_train if has_ttml else stand_in.python
    old, built = make(tmp_path / "old"), stand_in.python_of_tt_train(tmp_path / "built")
    stand_in.tt_metal(tmp_path / "home" / "tt-metal", built)
    write_settings({"n300:0": str(old)})

    def path_of(backend: str) -> Path | None:
        found = find("n300:0", backend=backend)
        return None if found is None else found.path

    assert path_of("ttnn") == old
    found = tmp_path / "home" / "tt-metal" / "python_env" / "bin" / "python"
    assert path_of("tt-train") == (old if has_ttml else found)
    chosen = stand_in.python(tmp_path / "chosen")
    choose("n300:0", chosen)
    assert path_of("ttnn") == chosen
    assert path_of("tt-train") == (old if has_ttml else found), "nobody has chosen another"
    choose("n300:0", built, "tt-train")
    assert (path_of("ttnn"), path_of("tt-train")) == (chosen, built)


def write_settings(values: dict[str, str]) -> None:
    settings_file().parent.mkdir(parents=True, exist_ok=True)
    settings_file().write_text(json.dumps(values))


def test_a_python_of_tt_metal_is_asked_where_it_finds_tt_metal(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TT_METAL_RUNTIME_ROOT", raising=False)
    built = stand_in.python_of_tt_train(tmp_path / "built")
    (tmp_path / "built" / "site" / "ttml" / "__init__.py").write_text(
        "import os; os.environ['TT_METAL_HOME'], os.environ['TT_METAL_RUNTIME_ROOT']"
    )
    assert "KeyError" in ask(built, deep=True).ttml_error
    made = stand_in.tt_metal(tmp_path / "metal", built)
    assert ask(made, deep=True).ttml_error == ""


def test_the_remembered_one_is_taken_whatever_it_has(bare: Path, tmp_path: Path) -> None:
    remember("n150:0", tmp_path / "gone")
    found = find("n150:0")
    assert found is not None
    assert found.path == tmp_path / "gone"
    assert "could not be started" in found.problem
    assert find("n300:0") is None


def test_the_search_can_be_ended(bare: Path) -> None:
    for name in ("python3.12", "python3.10"):
        program(bare, name, "/bin/sleep 60")
    began = time.monotonic()
    find("n150:0", stop=lambda: time.monotonic() - began > 0.2)
    assert time.monotonic() - began < 5


# Remembering


def test_a_choice_is_remembered_for_each_device(tmp_path: Path) -> None:
    assert remembered() == {}
    remember("n150:0", tmp_path / "a")
    remember("p150:0", tmp_path / "b")
    remember("n150:0", tmp_path / "c")
    assert remembered() == {
        ("n150:0", "ttnn"): tmp_path / "c", ("p150:0", "ttnn"): tmp_path / "b",
    }  # fmt: skip
    assert [file.name for file in settings_file().parent.iterdir()] == ["interpreters.json"]


def test_of_too_many_choices_the_oldest_are_forgotten(tmp_path: Path) -> None:
    for number in range(40):
        for backend in ("ttnn", "tt-train"):
            remember(f"n300:{number}", tmp_path / f"{backend}{number}", backend)
    kept = remembered()
    assert kept["n300:39", "tt-train"] == tmp_path / "tt-train39"
    assert ("n300:0", "ttnn") not in kept


def test_the_link_of_an_environment_is_remembered_not_what_it_leads_to(tmp_path: Path) -> None:
    python = link(tmp_path / "venv" / "bin" / "python", HERE)
    remember("n150:0", python)
    assert remembered()["n150:0", "ttnn"] == python


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"\xff\xfe", b'"x"', b"[" * 50_000, b'{"n150:0": 5}',
        b'{"n150:0": "relative/python"}', b'{"n150:0": ""}', b'{"n150:0": "/a\\u0000b"}',
        b'{"n150:0": "/' + b"x" * 5_000 + b'"}', b" " * 100_000 + b'{"n150:0": "/a"}',
        b'{"' + b"n" * 65 + b'": "/a"}',
    ],
)  # fmt: skip
def test_a_damaged_file_means_no_choice(content: bytes) -> None:
    settings_file().parent.mkdir(parents=True)
    settings_file().write_bytes(content)
    assert remembered() == {}
    remember("n150:0", Path("/usr/bin/python3"))
    assert json.loads(settings_file().read_text()) == {"n150:0 ttnn": "/usr/bin/python3"}


@given(values=st.dictionaries(st.text(max_size=70), st.text() | st.integers() | st.none()))
def test_no_file_raises(values: dict[str, object]) -> None:
    settings_file().parent.mkdir(parents=True, exist_ok=True)
    settings_file().write_text(json.dumps(values))
    assert all(path.is_absolute() for path in remembered().values())


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_says_so() -> None:
    home = settings_file().parent
    home.mkdir(parents=True)
    home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(InterpreterError, match="cannot be kept"):
            remember("n150:0", HERE)
    finally:
        home.chmod(stat.S_IRWXU)


def test_a_home_that_is_a_file_says_so() -> None:
    settings_file().parent.parent.mkdir(parents=True, exist_ok=True)
    settings_file().parent.write_text("x")
    with pytest.raises(InterpreterError, match="cannot be kept"):
        remember("n150:0", HERE)
