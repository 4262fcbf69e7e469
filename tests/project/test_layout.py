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

from tests.project import ROOT

FOLDERS = {"trickster_gui", "engine", "resources", "tests", "benchmarks", "docs", ".ci"}
FILES = {
    "pyproject.toml",
    "main.py",
    "Makefile",
    "constraints.txt",
    "constraints-tenstorrent.txt",
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
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "constraints-tenstorrent.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def interpreter(folder: Path, lines: str) -> str:
    """A program that answers in place of a Python."""
    path = folder / "some-python"
    path.write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=own, capture_output=True, text=True, check=False
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


def test_the_card_environment_is_pinned_without_torch_and_qt() -> None:
    text = (ROOT / "constraints-tenstorrent.txt").read_text(encoding="utf-8").lower()
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert "ttnn==0.81.1" in pins
    assert "numpy<2" in pins
    assert not any(pin.startswith(("torch", "pyside", "shiboken")) for pin in pins)


def test_both_environments_have_the_same_versions_of_what_the_engine_needs() -> None:
    lines = {
        name: set((ROOT / name).read_text(encoding="utf-8").splitlines())
        for name in ("constraints.txt", "constraints-tenstorrent.txt")
    }
    shared = {line for line in lines["constraints-tenstorrent.txt"] if "==" in line}
    assert shared - {"ttnn==0.81.1"} <= lines["constraints.txt"]


def test_make_says_which_python_ttnn_needs(makefile: Path) -> None:
    old = interpreter(makefile, "exit 1")
    done = make(makefile, "tenstorrent-env", f"TT_PYTHON={old}")
    assert done.returncode != 0
    (line,) = (line for line in done.stderr.splitlines() if "***" not in line)
    assert "ttnn exists for Python 3.12 and 3.10 only" in line
    assert "sudo apt install python3.12 python3.12-venv" in line
    assert not (makefile / ".venv-tenstorrent").exists()


def test_make_installs_the_bare_engine_and_ttnn_into_its_own_environment(makefile: Path) -> None:
    """With a Python that writes down what it is told, and makes an environment of itself."""
    said = makefile / "said"
    python = interpreter(
        makefile,
        f'echo "$@" >> {said}\n'
        'if [ "$1 $2" = "-m venv" ]; then mkdir -p $4/bin; cp "$0" $4/bin/python; fi',
    )
    done = make(makefile, "tenstorrent-env", f"TT_PYTHON={python}")
    assert done.returncode == 0, done.stderr
    assert (makefile / ".venv-tenstorrent" / "bin" / "python").exists()
    assert not (makefile / ".venv").exists()
    install = said.read_text().splitlines()[-1]
    assert install.endswith("-c constraints-tenstorrent.txt -e . ttnn")
