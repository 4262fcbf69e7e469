"""What every test gets: a home and an empty working folder of its own to work in, and a last look.

The environment is set before anything else is imported, since Qt and OpenMP read it only once.
"""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import itertools
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import leaks

settings.register_profile("development", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "development")

HOME_VARIABLE = "TRICKSTER_HOME"

# A shell that starts the tests in the background has them ignore Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _nothing_left_behind(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Fails a test that leaves a thread, a process, a running QThread or a file behind.

    Each test works in an empty folder of its own; files belong into `tmp_path`.
    """
    # Numbered here: pytest's own numbering lists the folder each time.
    place = tmp_path_factory.mktemp(f"t{next(_numbers)}", numbered=False)
    working, temporary = place / "cwd", place / "tmp"
    working.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(working)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    _isolate(place / "home", monkeypatch)
    before = leaks.Surroundings.now()
    yield
    found = leaks.left_behind(before)
    if request.node.get_closest_marker("leaves_behind") is None:
        for folder in (working, temporary):
            found += [f"file {path.name}" for path in folder.iterdir()]
    assert not found, "left behind: " + "; ".join(found)
    shutil.rmtree(place, ignore_errors=True)


def _isolate(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the test away from the settings, data and caches of the person who runs it."""
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / "xdg" / name.lower()))
    if "PySide6.QtCore" in sys.modules:
        from PySide6.QtCore import QSettings

        for file_format in (QSettings.Format.NativeFormat, QSettings.Format.IniFormat):
            QSettings.setPath(file_format, QSettings.Scope.UserScope, str(home / "settings"))


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """Keeps torch on one core, where a test module has imported it; imports nothing itself."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_orphans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails the session when a process that cut itself loose still runs at its end."""
    yield
    left = leaks.orphans(HOME_VARIABLE, tmp_path_factory.getbasetemp())
    lines = [f"{process.pid} {process.name()}" for process in left]
    for process in left:
        process.kill()
    assert not left, "processes outlived the tests: " + "; ".join(lines)
