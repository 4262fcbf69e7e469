"""Checklists of cards for tests: a machine without tools of Tenstorrent, and a worker's Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.devices.check import Check
from engine.devices.host_checks import Places
from engine.devices.preflight import Preflight, preflight
from tests.engine.devices import stand_in
from tests.engine.devices.recorded import on_path


@pytest.fixture(autouse=True)
def no_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tools of Tenstorrent."""
    on_path(monkeypatch.setenv, tmp_path / "bin")


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return stand_in.python(tmp_path / "python")


def report(places: Places, python: Path, device: str = "n150:0", **environment: str) -> Preflight:
    return preflight(device, python=python, places=places, environment=environment)


def named(found: Preflight, name: str) -> Check:
    (check,) = (check for check in found.checks if check.name == name)
    return check
