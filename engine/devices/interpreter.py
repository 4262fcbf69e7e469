"""Which Python a worker for a Tenstorrent card runs under: found, asked what it has, remembered.

``ttnn`` exists for Python 3.10 and 3.12 only and wants numpy below 2, so it often lives in an
environment of its own. A worker speaks text with the window: any interpreter will do that has
``ttnn`` and what the bare engine needs.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.devices.bounded_command import Answer, run_bounded
from engine.devices.interpreter_probe import MARK
from engine.devices.tt_metal import metal_variables
from engine.locations import data_home

TTNN_VERSION = "0.81.1"  # as resources/constraints-tenstorrent.txt pins it
SUPPORTED: tuple[tuple[int, int], ...] = ((3, 10), (3, 12))
# What the bare engine imports: module, and the package that brings it.
NEEDED = {
    "filelock": "filelock", "numpy": "numpy<2", "platformdirs": "platformdirs", "psutil": "psutil",
    "yaml": "PyYAML", "safetensors": "safetensors", "tokenizers": "tokenizers",
}  # fmt: skip
QUICK_S, DEEP_S = 10.0, 90.0
_LIMIT_BYTES = 1 << 20
_SETTINGS = "interpreters.json"
# A file in an environment while it is made: such a one is never taken for a Python that works.
UNFINISHED = "trickster-unfinished"
_MOST_BYTES, _MOST_ENTRIES, _MOST_TEXT, _MOST_CANDIDATES = 64 << 10, 64, 4_096, 16
_EITHER = ""  # the trainer of a choice that was made when both shared one
_PROJECT = Path(__file__).resolve().parents[2]
_IN_WHEEL = Path(__file__).resolve().parents[1] / "_resources"
_SCRIPT = Path(__file__).with_name("interpreter_probe.py")


class InterpreterError(Exception):
    """An interpreter cannot be used or remembered; the message says why."""


@dataclass(frozen=True)
class Interpreter:
    """What a Python says of itself, as far as it came.

    Attributes:
        path: as it is started; a virtual environment's own, not what it links to.
        version: such as (3, 12, 4); empty where it did not answer.
        is_environment: whether packages can be installed without touching the system's own.
        packages: version by module, of those that matter and are there; empty: not told.
        ttnn_folder: where ttnn lies; empty where it was not (or could not be) imported.
        ttnn_error: why ttnn could not be imported.
        ttml_real: whether a module ttml that is there is tt-train's; None: there is none.
        ttml_error: why tt-train's ttml could not be imported.
        problem: why the answer is not whole, in words.
    """

    path: Path
    version: tuple[int, ...] = ()
    is_environment: bool = False
    packages: Mapping[str, str] = field(default_factory=dict, hash=False)
    ttnn_folder: str = ""
    ttnn_error: str = ""
    ttml_real: bool | None = None
    ttml_error: str = ""
    problem: str = ""

    @property
    def version_text(self) -> str:
        """The version as people write it."""
        return ".".join(map(str, self.version))

    @property
    def supported(self) -> bool:
        """Whether ttnn exists for this version of Python."""
        return self.version[:2] in SUPPORTED

    def missing(self) -> tuple[str, ...]:
        """Packages of the bare engine that are not there, as pip calls them."""
        return tuple(package for module, package in NEEDED.items() if module not in self.packages)


def ask(path: Path, *, deep: bool = False, stop: Callable[[], bool] = lambda: False) -> Interpreter:
    """Start the interpreter and have it say what it has. ``deep`` really imports ttnn and ttml.

    Takes 0.1 s, or seconds with ``deep``; never raises, whatever is behind ``path``. One whose
    environment is not finished is not asked.
    """
    if _is_unfinished(path):
        return Interpreter(path, problem="its environment is not finished: make it again")
    return probe(path, deep=deep, stop=stop)


def probe(
    path: Path, *, deep: bool = False, stop: Callable[[], bool] = lambda: False
) -> Interpreter:
    """As ``ask``, but an environment that is being made is asked too."""
    command = [str(path), "-c", _SCRIPT.read_text(encoding="utf-8"), *(["deep"] if deep else [])]
    limit_s = DEEP_S if deep else QUICK_S
    answer = run_bounded(
        command, timeout_s=limit_s, limit_bytes=_LIMIT_BYTES, stop=stop,
        environment={**os.environ, **metal_variables(path, os.environ)},
    )  # fmt: skip
    return _understood(path, answer)


def _is_unfinished(path: Path) -> bool:
    try:
        return (path.parent.parent / UNFINISHED).exists()
    except (OSError, ValueError):
        return False  # what is wrong with it is told when it is started


def _understood(path: Path, answer: Answer) -> Interpreter:
    said = _lines(answer.output.decode("utf-8", "replace"))
    version = _version(said.get("version"))
    if not version:
        return Interpreter(path, problem=answer.problem or "it does not answer as a Python does")
    packages, ttnn, ttml = (
        part if isinstance(part := said.get(name), dict) else None
        for name in ("packages", "ttnn", "ttml")
    )
    died_at = said.get("importing") if answer.problem else None
    return Interpreter(
        path=path,
        version=version,
        is_environment=said.get("own") is True,
        packages={
            str(name): str(of)[:64] for name, of in (packages or {}).items() if isinstance(of, str)
        },
        ttnn_folder=_text(ttnn, "folder"),
        ttnn_error=answer.problem if died_at == "ttnn" else _text(ttnn, "error"),
        ttml_real=None if ttml is None else ttml.get("real") is True,
        ttml_error=answer.problem if died_at == "ttml" else _text(ttml, "error"),
        problem=answer.problem,
    )


def _version(said: object) -> tuple[int, ...]:
    numbers = tuple(said) if isinstance(said, list) and len(said) == 3 else ()
    return numbers if all(type(part) is int and 0 <= part < 1_000 for part in numbers) else ()


def _lines(output: str) -> dict[str, Any]:
    """All marked lines together; a later one wins. What libraries print is passed over."""
    said: dict[str, Any] = {}
    for line in output.splitlines():
        if line.startswith(MARK):
            try:
                found = json.loads(line[len(MARK) :])
            except (ValueError, RecursionError):
                continue
            said.update(found if isinstance(found, dict) else {})
    return said


def _text(values: Mapping[str, Any] | None, name: str) -> str:
    text = (values or {}).get(name)
    return " ".join(text[:500].split()) if isinstance(text, str) else ""


# Finding


def own_environment() -> Path:
    """Where Trickster makes the environment of cards: in a checkout, or among a person's data."""
    is_checkout = (_PROJECT / "pyproject.toml").is_file() and not _IN_WHEEL.is_dir()
    return _in_checkout() if is_checkout else _among_data()


def _in_checkout() -> Path:
    return _PROJECT / ".venv-tenstorrent"


def _among_data() -> Path:
    return data_home() / "venv-tenstorrent"


def candidates() -> tuple[Path, ...]:
    """Interpreters that may have ttnn, likely ones first: remembered, environments, the path."""
    home = Path.home()
    environments = [_in_checkout(), _among_data()]
    environments += [Path(value) for name in ("VIRTUAL_ENV",) if (value := os.environ.get(name))]
    if metal := os.environ.get("TT_METAL_HOME"):
        environments.append(Path(metal) / "python_env")
    environments += [home / ".tenstorrent-venv", home / "tt-metal" / "python_env"]
    names = [f"python{major}.{minor}" for major, minor in reversed(SUPPORTED)]
    on_path = [Path(found) for name in names if (found := shutil.which(name))]
    kept = sorted((home / ".pyenv" / "versions").glob("3.1[02].*/bin/python"), reverse=True)
    inside = [environment / "bin" / "python" for environment in environments]
    paths = [*remembered().values(), *inside, *on_path, *kept, Path(sys.executable)]
    usable = [path for path in paths if path.is_file() and os.access(path, os.X_OK)]
    return tuple(dict.fromkeys(usable))[:_MOST_CANDIDATES]


def find(
    device: str, stop: Callable[[], bool] = lambda: False, backend: str = "ttnn"
) -> Interpreter | None:
    """The interpreter by which ``backend`` trains on ``device``: the one chosen for both, else the
    best of the candidates.

    Best has the right version, then for tt-train its ttml, then ttnn, then what the engine needs.
    One that was chosen before trainers had Pythons of their own is ttnn's choice, and tt-train's
    first candidate. None where no candidate has the right version. Imports ttnn: takes seconds.
    """
    choices = remembered()
    chosen, undivided = choices.get((device, backend)), choices.get((device, _EITHER))
    if chosen is None and backend == "ttnn":
        chosen = undivided
    if chosen is not None:
        return ask(chosen, deep=True, stop=stop)
    first = () if undivided is None else (undivided,)
    best = _best((*first, *candidates()), stop, backend)
    return None if best is None else ask(best, deep=True, stop=stop)


def _best(paths: Sequence[Path], stop: Callable[[], bool], backend: str) -> Path | None:
    best, best_rank = None, (False, False, False)
    for path in paths:
        if stop():
            break
        found = ask(path, stop=stop)
        trains = backend == "ttnn" or found.ttml_real is True
        rank = (trains, "ttnn" in found.packages, not found.missing())
        if found.supported and (best is None or rank > best_rank):
            best, best_rank = path, rank
        if all(best_rank):
            break
    return best


# Remembering


def settings_file() -> Path:
    """Where the choices are kept."""
    return data_home() / _SETTINGS


def remembered() -> dict[tuple[str, str], Path]:
    """The interpreter chosen for each device and trainer (RunSpec.card_backend); empty where
    nothing (usable) was written down.

    The file has one line for each, ``"n150:0 tt-train": path``. A line with the device alone was
    written when its trainers shared one Python: its trainer is empty here, and it counts for ttnn,
    and for tt-train where it has its ttml, as long as none is chosen for that trainer. A damaged
    file means that a choice has to be made again, and nothing worse.
    """
    return {_of_key(key): Path(path) for key, path in _lines_of_file().items()}


def _lines_of_file() -> dict[str, str]:
    try:
        with settings_file().open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        values = json.loads(text) if len(text) <= _MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {
        key: path
        for key, path in list(values.items())[:_MOST_ENTRIES]
        if isinstance(path, str) and _is_usable_path(path) and len(key) <= 64
    }


def _of_key(key: str) -> tuple[str, str]:
    device, _, backend = key.partition(" ")
    return device, backend


def _is_usable_path(path: str) -> bool:
    return 0 < len(path) <= _MOST_TEXT and "\0" not in path and Path(path).is_absolute()


def choose(device: str, path: Path, backend: str = "ttnn") -> Interpreter:
    """Train by ``backend`` on ``device`` with this interpreter from now on, if it can be used.

    Whether it has ttnn or ttml is another question: that can be installed later. The other
    trainer's choice stays as it is. Raises InterpreterError where it is no Python, or one of a
    version that ttnn does not exist for; nothing is changed.
    """
    path = path.expanduser().absolute()  # not resolved: a link leads out of its environment
    found = ask(path)
    if not found.version:
        raise InterpreterError(f"{path} cannot be used as a Python: {found.problem}")
    if not found.supported:
        raise InterpreterError(
            f"{path} is Python {found.version_text}; ttnn exists for 3.10 and 3.12 only"
        )
    remember(device, path, backend)
    return found


def remember(device: str, path: Path, backend: str = "ttnn") -> None:
    """Write down that ``backend`` trains on ``device`` with this interpreter.

    Raises InterpreterError where that cannot be written down.
    """
    key = f"{device} {backend}"
    others = {of: where for of, where in _lines_of_file().items() if of != key}
    chosen = {key: str(path.absolute()), **others}  # the newest comes first: the oldest are dropped
    file = settings_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as aside:
            json.dump(chosen, aside, indent=1)
        Path(aside.name).replace(file)
    except OSError as error:
        raise InterpreterError(f"the choice cannot be kept in {file}: {error.strerror}") from error
