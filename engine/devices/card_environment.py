"""Makes or mends the environment that workers for Tenstorrent cards run under.

It is a virtual environment of Trickster's own, with ttnn and what the bare engine needs; nothing is
ever installed into another Python. Packages are downloaded first, into the folder of the
environment, and installed from there without any network: what is cut short while it downloads has
changed nothing that worked. While packages are installed a file in the environment says that it is
not finished, and `engine.devices.interpreter` takes none for a Python that works.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.devices import environment_folder as folders
from engine.devices import interpreter as interpreters
from engine.devices.base_python import check_base, find_base
from engine.devices.bounded_command import Answer, run_bounded
from engine.devices.environment_error import CancelledError, CardEnvironmentError
from engine.devices.environment_folder import DOWNLOADS
from engine.devices.environment_progress import (
    CHECKING,
    DOWNLOAD_BYTES,
    MAKING,
    SPACE_BYTES,
    Fetching,
    Installing,
    OnProgress,
    Progress,
    Stop,
)
from engine.devices.interpreter import NEEDED, TTNN_VERSION, UNFINISHED, Interpreter, probe
from engine.devices.pip_output import Lines, failure
from engine.resource_files import resource_path

_MENDING_BYTES = 3 * DOWNLOAD_BYTES
_VENV_S, _DOWNLOAD_S, _INSTALL_S, _QUICK_S = 300.0, 7_200.0, 1_800.0, 30.0
_PIP = ("-I", "-u", "-m", "pip")
_QUIET = ("--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar", "off")
# What would have pip install elsewhere, or not at all.
_MISLEADING = ("TARGET", "PREFIX", "ROOT", "USER", "DRY_RUN", "REQUIREMENT", "EDITABLE", "DEST",
               "PYTHON", "REPORT", "NO_DEPS", "LOG", "QUIET", "VERBOSE")  # fmt: skip


def make_environment(
    *, base: Path | None = None, device: str = "", folder: Path | None = None,
    on_progress: OnProgress = lambda progress: None, stop: Stop = lambda: False,
) -> Path:  # fmt: skip
    """Make the environment of cards, or mend it where it is there; return its interpreter.

    Takes half a minute to many, as the network is. ``base`` is the Python to make it with (default:
    the first that fits). Where a ``device`` is given, ttnn trains on it with this interpreter from
    now on; what tt-train uses there is another choice. ``stop`` is asked some 20 times a second;
    then all that was started is killed, and CancelledError is raised. Raises CardEnvironmentError,
    InterpreterError where the choice cannot be kept.

    In the end there is the environment as it was, a finished one, none, or one that says of itself
    that it is unfinished; the next attempt replaces that one.
    """
    if sys.platform != "linux":
        raise CardEnvironmentError("platform", "ttnn exists for Linux only: cards train there.")
    folder = folder or interpreters.own_environment()
    with folders.held(folder) as lock:
        making = _Making(folder, lock, on_progress, stop)
        making.run(None if base is None else check_base(base, stop))
    python = python_of(folder)
    if device:
        interpreters.remember(device, python, "ttnn")  # it has no ttml
    return python


def python_of(folder: Path) -> Path:
    """The interpreter of the environment in this folder."""
    return folder / "bin" / "python"


@dataclass
class _Making:
    """One attempt."""

    folder: Path
    lock: int
    on_progress: OnProgress
    stop: Stop

    def run(self, base: Interpreter | None) -> None:
        self.say("Looking at what is there", MAKING)
        there = self._there()
        if base is not None and there.version[:2] != base.version[:2]:
            there = Interpreter(there.path)
        self._check_stop()
        if _is_whole(there):
            self.say(f"ttnn {TTNN_VERSION} is there already", 1.0)
            return
        mends = self._can_be_mended(there)
        if not mends:
            base = base or find_base(self.stop)
        folders.check_space(self.folder, _MENDING_BYTES if mends else SPACE_BYTES)
        with self._clean_end():
            if not mends:
                assert base is not None
                with self._all_or_nothing():
                    self._make_empty(base)
                    self._fill()
            else:
                self._fill()

    def _there(self) -> Interpreter:
        """The environment that is there; without a version where there is none to keep."""
        python = python_of(self.folder)
        if (self.folder / UNFINISHED).exists() or not python.exists():
            return Interpreter(python)
        return probe(python, deep=True, stop=self.stop)

    def _can_be_mended(self, there: Interpreter) -> bool:
        """Whether packages can be added to it; one that is broken is made anew."""
        if not there.supported or not there.is_environment or there.ttnn_error:
            return False
        asked = run_bounded((str(there.path), *_PIP, "--version"), timeout_s=_QUICK_S,
                            stop=self.stop)  # fmt: skip
        self._check_stop()
        return not asked.problem

    def _make_empty(self, base: Interpreter) -> None:
        self.say(f"Making an environment with Python {base.version_text}", MAKING)
        command = (str(base.path), "-I", "-m", "venv", str(self.folder))
        answer = self._start(command, _VENV_S)
        if answer.problem:
            said = _said(answer)
            known = failure(said, answer.problem)
            if known.reason in ("disk", "folder"):
                raise known
            raise CardEnvironmentError(
                "venv", f"{base.path} cannot make an environment: {answer.problem}. Its venv "
                "module may not be whole (Debian, Ubuntu: sudo apt install "
                f"python{base.version[0]}.{base.version[1]}-venv).",
            )  # fmt: skip
        if not probe(python_of(self.folder), stop=self.stop).is_environment:
            self._check_stop()
            raise CardEnvironmentError("venv", f"{base.path} made no environment that works.")

    def _fill(self) -> None:
        """Fetch the packages; then install them, which is when the environment is unfinished."""
        downloads = self.folder / DOWNLOADS
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(downloads)  # of an attempt that was killed
        (downloads / "tmp").mkdir(parents=True)
        fetching = Fetching(self.say, self.stop, downloads / "tmp")
        wanted = ("-c", str(resource_path("constraints-tenstorrent.txt")), *_wanted())
        self._pip(
            ("download", *_QUIET, "--only-binary=:all:", "-d", str(downloads), *wanted),
            _DOWNLOAD_S, fetching.hear, fetching.look,
        )  # fmt: skip
        folders.mark_unfinished(self.folder)
        copying = Installing(self.say, self.stop, self.folder)
        self._pip(
            ("install", *_QUIET, "--no-user", "--only-binary=:all:", "--no-index", "--find-links",
             str(downloads), *wanted),
            _INSTALL_S, copying.hear, copying.look,
        )  # fmt: skip
        self._check_result()
        folders.mark_finished(self.folder)

    def _check_result(self) -> None:
        self.say("Checking that ttnn can be imported", CHECKING)
        found = probe(python_of(self.folder), deep=True, stop=self.stop)
        self._check_stop()
        if found.missing() or "ttnn" not in found.packages:
            lacking = ", ".join((*found.missing(), *(("ttnn",) * ("ttnn" not in found.packages))))
            raise CardEnvironmentError(
                "failed", f"pip installed all, but not all is there: {lacking} "
                f"({found.problem or 'no error'}). Try again.",
            )  # fmt: skip
        said = f"ttnn {found.packages['ttnn']} is installed"
        if found.ttnn_error:  # for want of a library of the system: the checklist says so too
            said += f", but cannot be imported here: {found.ttnn_error}"
        self.say(said, 1.0)

    def _pip(
        self, arguments: Sequence[str], timeout_s: float, hear: Callable[[str], None], look: Stop
    ) -> None:
        command = (str(python_of(self.folder)), *_PIP, *arguments)
        answer = self._start(command, timeout_s, Lines(hear), look)
        if answer.status is not None and answer.status < 0 and "did not" in answer.problem:
            raise CardEnvironmentError(
                "time", f"pip {arguments[0]} did not end within {timeout_s / 60:.0f} minutes. "
                "Check the network connection and the disk, then try again.",
            )  # fmt: skip
        if answer.problem:
            raise failure(_said(answer), answer.problem)

    def _start(
        self, command: Sequence[str], timeout_s: float,
        on_output: Callable[[bytes], None] = lambda block: None, look: Stop | None = None,
    ) -> Answer:  # fmt: skip
        self._check_stop()
        answer = run_bounded(
            command, timeout_s=timeout_s, stop=look or self.stop, on_output=on_output,
            environment=_environment(self.folder / DOWNLOADS / "tmp"), keep_open=(self.lock,),
        )  # fmt: skip
        self._check_stop()
        return answer

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Replaces what is there by what is made inside; where that fails, by nothing at all."""
        folders.mark_unfinished(self.folder)
        folders.clear(self.folder)
        try:
            yield
        except BaseException:
            with contextlib.suppress(CardEnvironmentError):
                folders.clear(self.folder)
                folders.mark_finished(self.folder)  # of nothing; it stays where clearing failed
            raise

    @contextlib.contextmanager
    def _clean_end(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise folders.unusable(self.folder, error) from error
        finally:
            shutil.rmtree(self.folder / DOWNLOADS, ignore_errors=True)

    def _check_stop(self) -> None:
        if self.stop():
            raise CancelledError

    def say(self, text: str, fraction: float, detail: str = "") -> None:
        self.on_progress(Progress(text, fraction, detail))


def _is_whole(there: Interpreter) -> bool:
    return (
        there.supported and there.is_environment and not there.missing()
        and there.packages.get("ttnn") == TTNN_VERSION and bool(there.ttnn_folder)
        and there.packages["numpy"].startswith("1.")
    )  # fmt: skip


def _wanted() -> tuple[str, ...]:
    return ("ttnn", *sorted(NEEDED.values()))


def _environment(temporary: Path) -> dict[str, str]:
    """This process's environment, without what would lead pip astray; messages in English."""
    misleading = {f"PIP_{name}" for name in _MISLEADING}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and name.upper() not in misleading
    }
    there = {"TMPDIR": str(temporary)} if temporary.is_dir() else {}
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONNOUSERSITE": "1", **there}


def _said(answer: Answer) -> str:
    return (answer.output[-65_536:] + b"\n" + answer.errors).decode("utf-8", "replace")
