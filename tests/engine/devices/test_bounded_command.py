"""Other programs may hang, talk without end, die, or not exist: none of it harms this one."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from engine.devices.bounded_command import run_bounded
from tests.engine.devices.recorded import program


def test_an_answer_within_its_limits(tmp_path: Path) -> None:
    answer = run_bounded((str(program(tmp_path, "tool", "echo yes; echo no >&2")),), timeout_s=10)
    assert (answer.status, answer.output, answer.errors, answer.problem) == (
        0, b"yes\n", b"no\n", "",
    )  # fmt: skip


def test_a_program_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    tool = program(tmp_path, "tool", "echo begun; sleep 60 & sleep 60; echo never")
    started = time.monotonic()
    answer = run_bounded((str(tool),), timeout_s=0.4)
    assert time.monotonic() - started < 5
    assert answer.problem == "tool did not answer within 0.4 s"
    assert answer.output == b"begun\n"
    assert not [child for child in psutil.Process().children(recursive=True) if child.is_running()]


def test_a_program_that_closes_its_outputs_and_stays_is_killed(tmp_path: Path) -> None:
    tool = program(tmp_path, "tool", "exec >&- 2>&-; sleep 60")
    assert run_bounded((str(tool),), timeout_s=0.4).problem == "tool did not end within 0.4 s"


def test_what_a_program_leaves_behind_does_not_hold_us_up(tmp_path: Path) -> None:
    tool = program(tmp_path, "tool", "sleep 2 & echo done")
    started = time.monotonic()
    answer = run_bounded((str(tool),), timeout_s=30)
    assert time.monotonic() - started < 1.5
    assert (answer.output, answer.problem) == (b"done\n", "")


def test_megabytes_of_output_are_cut_short() -> None:
    answer = run_bounded(
        (sys.executable, "-c", "while True: print('x' * 10_000)"), timeout_s=60, limit_bytes=1 << 20
    )
    assert "printed more than 1024 KiB" in answer.problem
    assert len(answer.output) < 2 << 20


def test_megabytes_of_errors_are_passed_over() -> None:
    script = "import sys; sys.stderr.write('x' * 10_000_000); print('fine')"
    answer = run_bounded((sys.executable, "-c", script), timeout_s=60)
    assert (answer.output.strip(), answer.problem) == (b"fine", "")
    assert len(answer.errors) <= 128 << 10


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "tool ended with status 3"),
        ("echo one >&2; echo 'no \x1b[31mcards' >&2; exit 1",
         "tool ended with status 1: no  [31mcards"),
        ("kill -SEGV $$", "tool was ended by signal 11"),
    ],
)  # fmt: skip
def test_failures_in_words(tmp_path: Path, script: str, problem: str) -> None:
    assert run_bounded((str(program(tmp_path, "tool", script)),), timeout_s=10).problem == problem


def test_programs_that_cannot_be_started(tmp_path: Path) -> None:
    missing = run_bounded((str(tmp_path / "tool"),), timeout_s=10)
    assert missing.problem == "tool could not be started: No such file or directory"
    plain = tmp_path / "plain"
    plain.write_text("text")
    assert "Permission denied" in run_bounded((str(plain),), timeout_s=10).problem
    assert "null byte" in run_bounded((f"{tmp_path}/a\0b",), timeout_s=10).problem


def test_the_wait_can_be_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    tool = program(tmp_path, "tool", "sleep 60")
    answer = run_bounded((str(tool),), timeout_s=60, stop=lambda: time.monotonic() - began > 0.2)
    assert answer.problem == "tool was not waited for"
    assert time.monotonic() - began < 5


def test_output_is_handed_on_as_it_comes(tmp_path: Path) -> None:
    heard: list[bytes] = []
    tool = program(tmp_path, "tool", "echo one; echo no >&2; sleep 60")
    answer = run_bounded(
        (str(tool),), timeout_s=60, stop=lambda: bool(heard), on_output=heard.append
    )
    assert (heard, answer.problem) == ([b"one\n"], "tool was not waited for")


def test_a_file_can_be_kept_open_in_what_is_started() -> None:
    read, write = os.pipe()
    command = (sys.executable, "-c", f"import os; os.write({write}, b'held')")
    assert run_bounded(command, timeout_s=10, keep_open=(write,)).problem == ""
    assert "Bad file descriptor" in run_bounded(command, timeout_s=10).problem
    assert os.read(read, 100) == b"held"
    os.close(read)
    os.close(write)
