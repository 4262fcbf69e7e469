"""`make wheel-check`: installs the project into empty environments and uses it there.

Takes minutes, needs the package index, and is no part of the tests. Everything it makes lies in a
temporary folder, away from the checkout, and is removed again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import psutil

from tests.project import ROOT

OPENS_WITHIN_S = 60
STAYS_OPEN_S = 3

# The engine without torch and Qt: its light parts, the resources, and a clear absence of the rest.
ENGINE_CODE = """
import importlib.util, sys
import engine.spec, engine.run_spec, engine.run_directory, engine.resource_files as files
assert files.read_resource_text("README.md")
for absent in ("torch", "PySide6", "pyqtgraph"):
    assert importlib.util.find_spec(absent) is None, absent
print(engine.__file__)
"""


def environment(folder: Path, what: str) -> Path:
    """An empty virtual environment with `what` of the project installed; its bin folder."""
    print(f"installing {what} …", flush=True)
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    run(
        [programs / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", what],
        folder,
    )
    return programs


def run(command: list[str | Path], home: Path) -> str:
    """Runs a command in `home`, away from the checkout, and returns what it printed."""
    done = subprocess.run(
        command, cwd=home, env=surroundings(home), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with status {done.returncode}")
    return done.stdout


def surroundings(home: Path) -> dict[str, str]:
    """This environment, without anything that points to the checkout."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "TRICKSTER_HOME": str(home / "home"), "QT_QPA_PLATFORM": "offscreen"}


def check_engine(folder: Path) -> None:
    programs = environment(folder, str(ROOT))
    place = run([programs / "python", "-c", ENGINE_CODE], folder).strip()
    assert Path(place).is_relative_to(folder), place
    run([programs / "trickster-engine", "--help"], folder)
    print(run([programs / "trickster-engine", "params", "nano-trickster", "--json"], folder)[:60])
    window = subprocess.run(
        [programs / "trickster"],
        cwd=folder,
        env=surroundings(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert window.returncode == 1, window
    assert "pip install 'trickster[app]'" in window.stderr, window.stderr


def check_window(folder: Path) -> None:
    programs = environment(folder, f"{ROOT}[app]")
    with (folder / "window.log").open("w") as log:
        process = psutil.Popen(
            [programs / "trickster"],
            cwd=folder,
            env=surroundings(folder),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_open(process)
        time.sleep(STAYS_OPEN_S)
        assert process.poll() is None, "the window closed by itself"
    finally:
        process.kill()
        process.wait()
        print((folder / "window.log").read_text(), end="")


def _wait_until_open(process: psutil.Popen) -> None:
    """Returns once Qt's platform plugin is loaded, which is when the application exists."""
    deadline = time.monotonic() + OPENS_WITHIN_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"trickster ended with status {process.returncode}"
        if any("libqoffscreen" in region.path for region in process.memory_maps()):
            return
        time.sleep(0.1)
    raise AssertionError(f"trickster showed no window within {OPENS_WITHIN_S} s")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="trickster-wheel-check-") as folder:
        check_engine(Path(folder) / "engine")
        check_window(Path(folder) / "app")
    print("both installations work")


if __name__ == "__main__":
    main()
