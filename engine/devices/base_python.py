"""Finds a Python that the environment of cards can be made with."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.devices.bounded_command import run_bounded
from engine.devices.environment_error import CancelledError, CardEnvironmentError
from engine.devices.interpreter import SUPPORTED, Interpreter, ask

_QUICK_S = 20.0
_MOST_CANDIDATES = 24
# Where Pythons lie that are not on the path; {v} is a version such as 3.12.
_PLACES = (
    "~/.pyenv/versions/{v}.*/bin/python",
    "/usr/bin/python{v}",
    "/usr/local/bin/python{v}",
    "/opt/python/{v}*/bin/python{v}",
    "~/.local/bin/python{v}",
    "~/.local/share/uv/python/cpython-{v}.*/bin/python{v}",
)
_VERSIONS = tuple(f"{major}.{minor}" for major, minor in sorted(SUPPORTED, reverse=True))
INSTALL_ONE = (
    "Install one (Ubuntu 24.04: sudo apt install python3.12 python3.12-venv; Ubuntu 22.04: sudo "
    "apt install python3.10 python3.10-venv; elsewhere: pyenv install 3.12)"
)


def find_base(stop: Callable[[], bool] = lambda: False) -> Interpreter:
    """The first Python here that ttnn exists for and that can make environments.

    Takes 0.2 s for each one that does not fit. Raises CardEnvironmentError where there is none.
    """
    without_venv: Interpreter | None = None
    for path in base_candidates():
        if stop():
            raise CancelledError
        found = ask(path, stop=stop)
        if not found.supported:
            continue
        if _makes_environments(path, stop):
            return found
        without_venv = without_venv or found
    if stop():
        raise CancelledError
    if without_venv is not None:
        raise _no_venv(without_venv)
    raise CardEnvironmentError(
        "python",
        f"no Python {' or '.join(_VERSIONS)} was found, and ttnn exists for no other. "
        f"{INSTALL_ONE}, then try again.",
    )


def check_base(path: Path, stop: Callable[[], bool] = lambda: False) -> Interpreter:
    """This Python, if an environment can be made with it; else raises CardEnvironmentError."""
    path = path.expanduser()
    if os.sep not in str(path) and (on_path := shutil.which(str(path))):
        path = Path(on_path)
    path = path.absolute()  # not resolved: a link may lead out of where it works
    found = ask(path, stop=stop)
    if stop():
        raise CancelledError
    if not found.version:
        said = f"{path} cannot be used as a Python: {found.problem}"
    elif not found.supported:
        said = f"{path} is Python {found.version_text}; ttnn exists for {_either()} only"
    elif not _makes_environments(path, stop):
        raise _no_venv(found)
    else:
        return found
    raise CardEnvironmentError("python", f"{said}. {INSTALL_ONE}, and name it.")


def base_candidates() -> tuple[Path, ...]:
    """Pythons that may fit, by their names and places only, the newest version first."""
    paths = [path for version in _VERSIONS for path in _of_version(version)]
    paths += [Path(found) for name in ("python3", "python") if (found := shutil.which(name))]
    paths.append(Path(sys.executable))
    usable = [path for path in paths if path.is_file() and os.access(path, os.X_OK)]
    return tuple(dict.fromkeys(usable))[:_MOST_CANDIDATES]


def _of_version(version: str) -> Iterator[Path]:
    if on_path := shutil.which(f"python{version}"):
        yield Path(on_path)
    for pattern in _PLACES:
        whole = Path(pattern.format(v=version)).expanduser()
        there = Path(whole.anchor).glob(str(whole.relative_to(whole.anchor)))
        yield from sorted(there, key=_release, reverse=True)


def _release(path: Path) -> tuple[int, ...]:
    """The numbers in a path, so that 3.12.10 comes after 3.12.9."""
    return tuple(int(digits) for digits in re.findall(r"\d+", str(path))[:32])


def _makes_environments(path: Path, stop: Callable[[], bool]) -> bool:
    """Whether the venv module is whole; Debian keeps a part of it in a package of its own."""
    command = (str(path), "-I", "-c", "import ensurepip, venv")
    return not run_bounded(command, timeout_s=_QUICK_S, stop=stop).problem


def _no_venv(found: Interpreter) -> CardEnvironmentError:
    name = f"python{found.version[0]}.{found.version[1]}-venv"
    return CardEnvironmentError(
        "venv",
        f"{found.path} (Python {found.version_text}) comes without its venv module. Install it "
        f"(Debian, Ubuntu: sudo apt install {name}), then try again.",
    )


def _either() -> str:
    return " and ".join(reversed(_VERSIONS))
