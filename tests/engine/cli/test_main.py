from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import engine.__main__ as program
from engine.__main__ import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    for command in COMMANDS:
        assert command in printed


@pytest.mark.parametrize(
    "arguments",
    [[], ["nope"], ["params"], ["params", "gpt2", "--nope"], ["cost", "gpt2", "--batch"],
     ["params", "gpt2", "extra"], ["params", "gpt2", "--js"]],
)  # fmt: skip
def test_a_wrong_command_line_is_one_line_and_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["params", "nope"], ["params", "bad-design-heads"], ["params", ""], ["params", "/"],
        ["params", "a\0b"], ["cost", "gpt2", "--batch", "x"], ["cost", "gpt2", "--batch", "0"],
        ["cost", "gpt2", "--seq", "99999"], ["cost", "gpt2", "--precision", "fp64"],
        ["cost", "gpt2", "--device", "abacus"], ["cost", "gpt2", "--set", "nope=1"],
        ["cost", "gpt2", "--set", "steps"], ["cost", "gpt2", "--batch", "9" * 5000],
        ["params", "trickster:1?hidden_dim=1#00000000"],
    ],
    ids=lambda arguments: " ".join(arguments)[:30].replace("\0", "0"),
)  # fmt: skip
def test_what_cannot_be_used_is_one_line_and_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"engine {arguments[0]}: ")
    assert printed.err.count("\n") == 1


def command_that(raises: BaseException) -> SimpleNamespace:
    def run(_: object) -> int:
        raise raises

    return SimpleNamespace(HELP="x", add_arguments=lambda _: None, run=run)


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_module", lambda _: command_that(KeyboardInterrupt()))
    assert main(["devices"]) == 130


def test_system_errors_are_told_with_their_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = PermissionError(13, "Permission denied", "/a/file")
    monkeypatch.setattr(program, "_module", lambda _: command_that(error))
    assert main(["devices"]) == 2
    assert capsys.readouterr().err == "engine devices: /a/file: Permission denied\n"


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_module", lambda _: command_that(ValueError("a bug")))
    with pytest.raises(ValueError, match="a bug"):
        main(["devices"])


def engine(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine", *arguments],
        capture_output=True, text=True, timeout=60, check=False, env=os.environ | more,
        cwd=os.path.dirname(os.path.dirname(program.__file__)),  # noqa: PTH120
    )  # fmt: skip


def test_params_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from engine.__main__ import main; main(['cost', 'nano-trickster', '--json']); "
        "sys.exit(bool({'torch', 'numpy', 'tokenizers', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False,
        cwd=os.path.dirname(os.path.dirname(program.__file__)),  # noqa: PTH120
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_as_a_program() -> None:
    done = engine("params", "nano-trickster")
    assert done.returncode == 0
    assert "5,180,672" in done.stdout
    assert engine("params", "nope").returncode == 2


def test_a_terminal_without_our_characters_gets_question_marks() -> None:
    done = engine("params", "nano-trickster", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "256 ? 256" in done.stdout


def test_a_reader_that_leaves_early_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "parameters"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd=os.path.dirname(os.path.dirname(program.__file__)),  # noqa: PTH120
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141
