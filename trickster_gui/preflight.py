"""What the window needs before Qt is loaded, each missing thing with the one line that mends it.

Qt ends the process when a library or the display is missing, and the loader's message names no
package. So this module looks first, and imports nothing beyond the standard library. It runs from
Python 3.7 on, since it also has to tell an unfit one apart.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform as host
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trickster_gui.system_libraries import EVERYWHERE, WAYLAND, X11, Library, install_command

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
# 6.12 loses references to None and True at each emit and repaint on Python 3.11.
OLDEST_PYSIDE, FIRST_UNFIT_PYSIDE = (6, 10, 2), (6, 12)

_PLATFORM_LIBRARIES = {"xcb": X11, "wayland": WAYLAND}


@dataclass(frozen=True)
class Problem:
    """One thing that keeps the window from opening, and what to do about it.

    `library` is set where a system library is missing; its remedy is joined with the others'
    into a single command by `explain`.
    """

    message: str
    fix: str = ""
    library: Library | None = None


def check(
    loader: Callable[[str], object] = ctypes.CDLL,
    environ: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
    *,
    python: tuple[int, int] = sys.version_info[:2],
    version_of: Callable[[str], str | None] | None = None,
    answers: Callable[[str], bool] | None = None,
) -> list[Problem]:
    """All that is missing for the window; an empty list means that it can open.

    `loader` loads a shared library by name or raises OSError. `version_of` gives the version of an
    installed package, "" where it is there but says no version, None where it isn't there.
    `answers` tells whether the display server of "xcb" or "wayland" can be reached.
    """
    problems = _check_python(python) or _check_packages(version_of or installed_version)
    if problems or not platform.startswith("linux"):
        return problems
    return _missing(EVERYWHERE, loader) + _check_display(
        loader, environ, answers or display_answers
    )


def _check_python(version: tuple[int, int]) -> list[Problem]:
    if OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        return []
    return [
        Problem(
            f"This is Python {version[0]}.{version[1]}; Trickster needs 3.10 to 3.13.",
            "Start it with one of these, for example: python3.12 main.py",
        )
    ]


def _check_packages(version_of: Callable[[str], str | None]) -> list[Problem]:
    absent = [name for name in ("PySide6", "pyqtgraph") if version_of(name) is None]
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        return [
            Problem(
                f"The Python package{'s' * (len(absent) > 1)} {' and '.join(absent)} "
                f"{verb} not installed.",
                "pip install 'trickster[app]'   (in a checkout: make setup)",
            )
        ]
    version = version_of("PySide6") or ""
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if not numbers or OLDEST_PYSIDE <= numbers < FIRST_UNFIT_PYSIDE:
        return []
    return [
        Problem(
            f"PySide6 {version} is installed; Trickster needs 6.10.2 or later, below 6.12.",
            "pip install 'PySide6-Essentials>=6.10.2,<6.12'",
        )
    ]


def installed_version(package: str) -> str | None:
    """The version of an importable package, "" where it tells none, None where there is none.

    Read from the names of the folders beside it: importlib.metadata takes 20 ms to import.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        return None
    beginnings = (f"{package}_essentials-".lower(), f"{package}-".lower())
    for folder in spec.submodule_search_locations or ():
        for entry in sorted(Path(folder).parent.glob("*.dist-info")):
            name = entry.stem.lower()
            if name.startswith(beginnings):
                return name.rpartition("-")[2]
    return ""


def _missing(libraries: Sequence[Library], loader: Callable[[str], object]) -> list[Problem]:
    problems = []
    for library in libraries:
        try:
            loader(library.name)
        except OSError:
            problems.append(Problem(f"{library.name} is missing.", library=library))
    return problems


def _check_display(
    loader: Callable[[str], object], environ: Mapping[str, str], answers: Callable[[str], bool]
) -> list[Problem]:
    """Qt tries each platform in turn, so one that works is enough."""
    platforms = _platforms(environ)
    if not platforms:
        return [
            Problem(
                "There is no display: neither DISPLAY nor WAYLAND_DISPLAY is set.",
                "Over SSH, log in with ssh -X. Without a screen, everything but the window works: "
                "python -m engine --help",
            )
        ]
    found: list[Problem] = []
    for name in platforms:
        missing = _missing(_PLATFORM_LIBRARIES.get(name, ()), loader)
        if missing:
            found = found or missing
        elif name not in _PLATFORM_LIBRARIES or answers(name):
            return []
        else:
            found = found or [_unanswered(name, environ)]
    return found


def _platforms(environ: Mapping[str, str]) -> list[str]:
    """The platform plugins that Qt tries, in its order (QGuiApplication's createPlatform...)."""
    chosen = environ.get("QT_QPA_PLATFORM", "")
    if chosen:
        names = [name.split(":")[0] for name in chosen.split(";") if name]
        return ["wayland" if name.startswith("wayland") else name for name in names]
    wayland = bool(environ.get("WAYLAND_DISPLAY")) or environ.get("XDG_SESSION_TYPE") == "wayland"
    return ["wayland"] * wayland + ["xcb"] * bool(environ.get("DISPLAY"))


def _unanswered(name: str, environ: Mapping[str, str]) -> Problem:
    variable = "DISPLAY" if name == "xcb" else "WAYLAND_DISPLAY"
    return Problem(
        f"The display {environ.get(variable) or '(default)'} does not answer.",
        f"Log in where a screen is, or set {variable} to a display that you may use.",
    )


def display_answers(name: str) -> bool:
    """Whether the server of "xcb" or "wayland" accepts a connection, asked as Qt asks it."""
    if name == "xcb":
        xcb = ctypes.CDLL("libxcb.so.1")
        xcb.xcb_connect.restype = ctypes.c_void_p
        connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
        failed = bool(xcb.xcb_connection_has_error(connection))
        xcb.xcb_disconnect(connection)
        return not failed
    wayland = ctypes.CDLL("libwayland-client.so.0")
    wayland.wl_display_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(wayland.wl_display_connect(None))
    if not connection:
        return False
    wayland.wl_display_disconnect(connection)
    return True


def explain(
    problems: Sequence[Problem],
    os_release: dict[str, str] | None = None,
    root: bool | None = None,
) -> str:
    """The problems as text for a terminal, with one complete command for all missing libraries."""
    lines = ["Trickster's window can't open here.", ""]
    libraries = [problem.library for problem in problems if problem.library is not None]
    if libraries:
        release = _os_release() if os_release is None else os_release
        as_root = os.geteuid() == 0 if root is None else root
        lines += _explain_libraries(libraries, release, as_root)
    for problem in problems:
        if problem.library is None:
            lines += [problem.message, f"    {problem.fix}", ""]
    return "\n".join(lines).rstrip()


def _explain_libraries(libraries: list[Library], release: dict[str, str], root: bool) -> list[str]:
    names = ", ".join(library.name for library in libraries)
    command = install_command(libraries, release, root)
    lines = [f"Qt needs system libraries that are missing: {names}."]
    if command is not None:
        return [*lines, "Install them:", f"    {command}", ""]
    packages = " ".join(sorted({library.debian for library in libraries}))
    return [
        *lines,
        "Install them with your system's package manager. On Debian and Ubuntu they are in:",
        f"    {packages}",
        "",
    ]


def _os_release() -> dict[str, str]:
    try:
        return host.freedesktop_os_release()
    except OSError:
        return {}


def main() -> int:
    """Prints what is missing. The exit status is 1 when something is, otherwise 0."""
    problems = check()
    if problems:
        print(explain(problems), file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
