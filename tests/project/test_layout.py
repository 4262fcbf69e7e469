"""What lies at the top of the checkout, and the two commands that everybody uses."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from engine.devices.interpreter import TTNN_VERSION
from tests.engine.devices.fake_base import Base
from tests.project import ROOT

FOLDERS = {"trickster_gui", "engine", "resources", "tests", "benchmarks", "docs", ".ci"}
FILES = {
    "pyproject.toml",
    "main.py",
    "Makefile",
    "constraints.txt",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LOG.md",
    "LICENSE",
    ".gitignore",
}


def tracked() -> list[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_nothing_unexpected_lies_at_the_top() -> None:
    tops = {name.split("/")[0] for name in tracked()}
    assert tops <= FOLDERS | FILES


def test_main_only_opens_the_window() -> None:
    lines = (ROOT / "main.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 20


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    assert re.search(r"^(exec )?make test$", text, re.MULTILINE)
    assert script.stat().st_mode & stat.S_IXUSR


def test_the_packages_are_pinned_as_the_project_needs_them() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert "torch==2.13.0" in pins
    assert any(line.startswith("PySide6_Essentials==6.1") for line in pins)


@pytest.fixture
def makefile(tmp_path: Path) -> Path:
    """A folder with nothing but the Makefile and what it reads."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def interpreter(folder: Path, lines: str) -> str:
    """A program that answers in place of a Python."""
    path = folder / "some-python"
    path.write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def make(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("make")
    assert program is not None
    own = {name: value for name, value in os.environ.items() if "MAKE" not in name} | more
    return subprocess.run(
        [program, *arguments], cwd=folder, env=own, capture_output=True, text=True, check=False
    )


def test_make_alone_shows_every_target(makefile: Path) -> None:
    done = make(makefile)
    assert done.returncode == 0
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    shown = [line.split()[1] for line in done.stdout.splitlines()]
    assert shown == phony.split()
    assert {"run", "test", "check", "setup", "screenshots", "bench", "wheel"} <= set(shown)


def complaint(folder: Path, python: str) -> str:
    """The one line that make prints before it gives up; it must not have made a .venv."""
    done = make(folder, "run", f"PYTHON={python}")
    assert done.returncode != 0
    assert not (folder / ".venv").exists()
    (line,) = (line for line in done.stderr.splitlines() if "***" not in line)
    return line


def test_make_says_when_there_is_no_python(makefile: Path) -> None:
    line = complaint(makefile, "no-such-python")
    assert "there is no no-such-python" in line
    assert "apt install python3 python3-venv" in line


def test_make_says_when_python_is_too_old(makefile: Path) -> None:
    python = interpreter(makefile, '[ "$1" = --version ] && echo Python 3.8.1 && exit; exit 1')
    line = complaint(makefile, python)
    assert "is Python 3.8.1; Trickster needs Python 3.10 to 3.13" in line


def test_make_says_which_package_brings_venv(makefile: Path) -> None:
    python = interpreter(
        makefile, f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    )
    line = complaint(makefile, python)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"sudo apt install python{version}-venv" in line


# The environment for Tenstorrent cards

CARD_PINS = "resources/constraints-tenstorrent.txt"


def test_the_card_environment_is_pinned_without_torch_and_qt() -> None:
    text = (ROOT / CARD_PINS).read_text(encoding="utf-8").lower()
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert f"ttnn=={TTNN_VERSION}" in pins
    assert "numpy<2" in pins
    assert not any(pin.startswith(("torch", "pyside", "shiboken")) for pin in pins)


def test_both_environments_have_the_same_versions_of_what_the_engine_needs() -> None:
    lines = {
        name: set((ROOT / name).read_text(encoding="utf-8").splitlines())
        for name in ("constraints.txt", CARD_PINS)
    }
    shared = {line for line in lines[CARD_PINS] if "==" in line}
    assert shared - {f"ttnn=={TTNN_VERSION}"} <= lines["constraints.txt"]


@pytest.fixture
def clone(makefile: Path) -> Path:
    """The same folder with the engine in it, which makes the environment."""
    for name in ("engine", "resources"):
        shutil.copytree(ROOT / name, makefile / name, ignore=shutil.ignore_patterns("__pycache__"))
    return makefile


def test_make_says_which_python_ttnn_needs(clone: Path) -> None:
    old = interpreter(clone, "exit 1")
    done = make(clone, "tenstorrent-env", f"TT_PYTHON={old}", f"PYTHON={sys.executable}")
    assert done.returncode != 0
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("engine "))
    assert "some-python cannot be used as a Python" in line
    assert "sudo apt install python3.12 python3.12-venv" in line
    assert not (clone / ".venv-tenstorrent").exists()


def test_make_says_so_where_there_is_no_python_at_all(makefile: Path) -> None:
    sh = shutil.which("sh")
    assert sh is not None
    bare = makefile / "bin"
    bare.mkdir()
    (bare / "sh").symlink_to(sh)
    done = make(makefile, "tenstorrent-env", "PYTHON=none", PATH=str(bare), HOME=str(makefile))
    assert done.returncode != 0
    (line,) = (line for line in done.stderr.splitlines() if "***" not in line)
    assert "ttnn exists for Python 3.12 and 3.10 only" in line


@pytest.mark.skipif(sys.platform != "linux", reason="cards train on Linux only")
def test_make_has_the_engine_make_the_environment(clone: Path) -> None:
    base = Base(clone / "base", clone / ".venv-tenstorrent")
    arguments = ("tenstorrent-env", f"TT_PYTHON={base.python}", f"PYTHON={sys.executable}")
    done = make(clone, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2] == f"{clone}/.venv-tenstorrent/bin/python"
    assert done.stdout.splitlines()[-1].endswith("-m engine preflight --device n150:0")
    assert not (clone / ".venv").exists()
    assert f"-c {clone}/{CARD_PINS} " in base.said()[-1]
