"""``card-environment``: progress, the path at the end, one line for what a person can mend."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from engine.__main__ import main
from engine.cli import card_environment as command
from engine.devices import base_python
from engine.devices.interpreter import remembered
from tests.engine.devices.fake_base import INSTALLED, Base
from tests.project import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cards train on Linux only")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    made = Base(tmp_path / "base", tmp_path / "home" / "environment")
    monkeypatch.setattr(command, "own_environment", lambda: made.folder)
    monkeypatch.setattr(base_python, "base_candidates", lambda: (made.python,))
    return made


def test_the_last_line_is_the_interpreter(base: Base, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card-environment"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{base.folder}/bin/python\n"
    first, *rest = printed.err.splitlines()
    assert first.startswith(f"{base.folder}: ttnn and what the engine needs; about ")
    assert "Making an environment with Python 3.12.4" in rest
    assert rest[-1] == "ttnn 0.81.1 is installed"
    assert remembered() == {}


def test_a_python_and_a_card_can_be_named(base: Base, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["card-environment", "--python", str(base.python), "--device", "n150"]
    assert main(arguments) == 0
    assert capsys.readouterr().err.endswith("ttnn trains on n150:0 with it from now on\n")
    assert remembered() == {("n150:0", "ttnn"): base.folder / "bin" / "python"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--python", "/bin/true"], "cannot be used as a Python"),
        (["--python", "/nowhere"], "could not be started"),
        (["--device", "abacus"], "is not a Tenstorrent card"),
    ],
)
def test_what_a_person_can_mend_is_one_line(
    base: Base, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card-environment", *arguments]) == 2
    printed = capsys.readouterr()
    last = printed.err.splitlines()[-1]
    assert last.startswith("engine card-environment: ")
    assert words in last
    assert printed.out == ""
    assert not base.folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_all_that_was_started(tmp_path: Path, number: int) -> None:
    home = Path(os.environ["TRICKSTER_HOME"])
    base = Base(tmp_path / "base", home / "venv-tenstorrent")
    base.script("install", base.hanging(INSTALLED))
    code = (
        "import sys; from pathlib import Path; from engine.devices import interpreter\n"
        "interpreter._PROJECT = Path('/nowhere')\n"
        "from engine.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "card-environment", "--python", str(base.python)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Installing 3 packages"):
            break
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert errors.splitlines()[-1].startswith("cancelled; ")
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert not base.folder.exists()


def test_a_bare_python_is_enough_in_a_checkout(base: Base) -> None:
    """As ``make tenstorrent-env`` has it: nothing but the standard library is there."""
    code = (
        "import sys; from pathlib import Path; from engine.cli import card_environment\n"
        f"card_environment.own_environment = lambda: Path({str(base.folder)!r})\n"
        "from engine.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, "card-environment", "--python", str(base.python)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{base.folder}/bin/python\n"), done.stderr
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, "card-environment", "--python", "/nowhere"],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("engine card-environment: /nowhere cannot")
