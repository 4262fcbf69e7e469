"""tt-metal is found by its own Python, where that is certain, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.devices.tt_metal import metal_variables
from tests.engine.devices import stand_in


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return stand_in.tt_metal(tmp_path / "metal", tmp_path / "python")


def test_a_python_that_tt_metal_made_lacks_its_place(tmp_path: Path, made: Path) -> None:
    home = str(tmp_path / "metal")
    expected = {"TT_METAL_HOME": home, "TT_METAL_RUNTIME_ROOT": home}
    assert metal_variables(made, {}) == expected
    assert metal_variables(made, {"TT_METAL_HOME": ""}) == expected
    assert metal_variables(made.with_name("python3"), {}) == expected


@pytest.mark.parametrize("name", ["TT_METAL_HOME", "TT_METAL_RUNTIME_ROOT"])
def test_who_has_set_either_has_decided(made: Path, name: str) -> None:
    assert metal_variables(made, {name: "/elsewhere"}) == {}


def test_every_other_python_is_left_alone(tmp_path: Path, made: Path) -> None:
    for python in ("/usr/bin/python3.12", "python3", "/python3", "/python_env/bin/python"):
        assert metal_variables(Path(python), {}) == {}
    assert metal_variables(tmp_path / "metal" / ".venv" / "bin" / "python", {}) == {}
    (tmp_path / "metal" / "tt-train").rmdir()
    assert metal_variables(made, {}) == {}, "a folder of that name, but not tt-metal's sources"
