"""The wheel carries the packages and the resources, and works where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.project import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from the sources as they are now, without any network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("trickster-*.whl")
    return path


def test_all_sources_and_resources_are_inside(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for package in ("engine", "trickster_gui"):
        for source in (ROOT / package).rglob("*.py"):
            assert source.relative_to(ROOT).as_posix() in inside
    resources = [path for path in (ROOT / "resources").rglob("*") if path.is_file()]
    assert resources
    for resource in resources:
        assert f"engine/_resources/{resource.relative_to(ROOT / 'resources').as_posix()}" in inside


def test_nothing_else_is_inside(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    (dist_info,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"engine", "trickster_gui", dist_info}
    assert f"{dist_info}/licenses/LICENSE" in zipfile.ZipFile(wheel).namelist()


def test_both_commands_are_declared(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    text = archive.read(name).decode()
    assert "trickster = trickster_gui.__main__:main" in text
    assert "trickster-engine = engine.__main__:main" in text


def test_the_base_asks_for_neither_torch_nor_qt(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
    lines = archive.read(name).decode().splitlines()
    needs = [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert any("numpy" in line for line in needs)
    assert not [line for line in needs if any(word in line.lower() for word in ("torch", "side"))]


def test_resources_are_found_where_there_is_no_checkout(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(installed)
    code = (
        "import engine, engine.resource_files as files; print(engine.__file__); "
        "print(files.resource_path('README.md')); assert files.read_resource_text('README.md')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        assert Path(line).is_relative_to(installed)
