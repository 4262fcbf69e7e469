"""Which Python an environment for cards is made with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.devices import base_python
from engine.devices.base_python import base_candidates, check_base, find_base
from engine.devices.environment_error import CancelledError, CardEnvironmentError
from tests.engine.devices.fake_base import Base
from tests.engine.devices.recorded import program


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a path without any Python; returns the home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    places = [place for place in base_python._PLACES if place.startswith("~")]
    monkeypatch.setattr(base_python, "_PLACES", tuple(places))
    monkeypatch.setattr(base_python.sys, "executable", str(tmp_path / "none"))
    return tmp_path / "home"


def a_base(tmp_path: Path, name: str, version: tuple[int, int], *, venv: bool = True) -> Path:
    return Base(tmp_path / name, tmp_path / "environment", version, venv).python


def test_the_newest_comes_first_and_tens_are_more_than_nines(home: Path, tmp_path: Path) -> None:
    assert base_candidates() == ()
    kept = home / ".pyenv" / "versions"
    for version in ("3.12.9", "3.12.10", "3.10.13", "3.11.7"):
        program(kept / version / "bin", "python", "exit 0")
    on_path = [program(tmp_path / "bin", name, "exit 0") for name in ("python3.10", "python3")]
    assert base_candidates() == (
        kept / "3.12.10" / "bin" / "python", kept / "3.12.9" / "bin" / "python",
        on_path[0], kept / "3.10.13" / "bin" / "python", on_path[1],
    )  # fmt: skip


def test_the_first_that_fits_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = a_base(tmp_path, "fits", (3, 10))
    paths = (
        program(tmp_path / "no-python", "python3", "exit 127"),
        a_base(tmp_path, "new", (3, 13)), a_base(tmp_path, "bare", (3, 12), venv=False), fits,
    )  # fmt: skip
    monkeypatch.setattr(base_python, "base_candidates", lambda: paths)
    assert find_base().path == fits


def test_one_without_its_venv_module_is_named_with_the_package_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = a_base(tmp_path, "bare", (3, 12), venv=False)
    monkeypatch.setattr(base_python, "base_candidates", lambda: (bare,))
    for search in (find_base, lambda: check_base(bare)):
        with pytest.raises(CardEnvironmentError, match=r"apt install python3\.12-venv") as caught:
            search()
        assert caught.value.reason == "venv"


@pytest.mark.parametrize(
    ("script", "words"),
    [("exit 1", "cannot be used as a Python"), ("", "could not be started")],
)
def test_a_named_program_that_is_no_python(tmp_path: Path, script: str, words: str) -> None:
    path = program(tmp_path, "tool", script) if script else tmp_path / "nothing"
    with pytest.raises(CardEnvironmentError, match=words) as caught:
        check_base(path)
    assert caught.value.reason == "python"


def test_a_named_python_of_another_version(tmp_path: Path) -> None:
    with pytest.raises(CardEnvironmentError, match=r"is Python 3\.11\.4; ttnn exists for 3\.10"):
        check_base(a_base(tmp_path, "old", (3, 11)))


def test_a_name_is_looked_for_on_the_path(home: Path, tmp_path: Path) -> None:
    fits = a_base(tmp_path, "fits", (3, 12))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3.12").symlink_to(fits)
    assert check_base(Path("python3.12")).path == tmp_path / "bin" / "python3.12"


def test_the_search_can_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_python, "base_candidates", lambda: (Path(sys.executable),))
    with pytest.raises(CancelledError):
        find_base(stop=lambda: True)
