"""What torch is asked about a run's way on, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from engine.run_directory import RunDirectory
from trickster_gui.app import Application
from trickster_gui.bridge import Elsewhere, Task
from trickster_gui.bridge.background import OnDone, OnError
from trickster_gui.elsewhere.torch_check import TorchCheck


@pytest.mark.timeout(120)
def test_torch_says_what_it_can_and_what_not_and_the_run_stays_as_it_was(
    application: Application, ended: RunDirectory, qtbot: QtBot
) -> None:
    before = {path: path.read_bytes() for path in ended.path.rglob("*") if path.is_file()}
    check = TorchCheck(application.bridge.check_resume, ended.path, application)
    assert not check.state("cpu", "bf16").known
    check.ask("cpu", "bf16-mixed")
    check.ask("cuda:7", "fp32")
    assert check.state("cpu", "bf16-mixed").checking
    qtbot.waitUntil(lambda: check.state("cpu", "bf16-mixed").known, timeout=60_000)
    qtbot.waitUntil(lambda: check.state("cuda:7", "fp32").known, timeout=60_000)
    assert check.state("cpu", "bf16-mixed").problem is None
    problem = check.state("cuda:7", "fp32").problem
    assert problem is not None
    assert (problem.field, dict(problem.fix)) == ("device", {"device": "auto"})
    assert "cuda:7 is not here" in problem.message
    assert before == {path: path.read_bytes() for path in ended.path.rglob("*") if path.is_file()}


@pytest.mark.timeout(120)
def test_a_run_that_is_gone_is_told_in_words(
    application: Application, ended: RunDirectory, qtbot: QtBot
) -> None:
    check = TorchCheck(application.bridge.check_resume, ended.path / "gone", application)
    check.ask("cpu", "bf16")
    qtbot.waitUntil(lambda: check.state("cpu", "bf16").known, timeout=60_000)
    problem = check.state("cpu", "bf16").problem
    assert problem is not None
    assert "holds no run" in problem.message


def test_each_is_asked_for_once(application: Application, ended: RunDirectory) -> None:
    asked = []
    bridge = application.bridge

    def count(
        path: Path, elsewhere: Elsewhere, steps: int, on_line: Callable[[str], None],
        on_done: OnDone, on_error: OnError, /,
    ) -> Task:  # fmt: skip
        asked.append((path, elsewhere))
        return bridge.run_in_background(lambda: None, lambda _: None, on_error)

    check = TorchCheck(count, ended.path, application)
    check.ask("cpu", "bf16")
    check.ask("cpu", "bf16")
    check.ask("cpu", "fp32")
    assert asked == [(ended.path, Elsewhere("cpu", "bf16")), (ended.path, Elsewhere("cpu", "fp32"))]
