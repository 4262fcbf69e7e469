"""Before the window opens: what is missing is named, with the one command that mends it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from trickster_gui import preflight
from trickster_gui.preflight import Problem, check, explain
from trickster_gui.system_libraries import EVERYWHERE, WAYLAND, X11, Library

DEBIAN = {"ID": "debian"}
OFFSCREEN = {"QT_QPA_PLATFORM": "offscreen"}


def loader_without(*absent: str) -> Callable[[str], object]:
    def load(name: str) -> object:
        if name in absent:
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")
        return object()

    return load


def good_version(package: str) -> str:
    return {"PySide6": "6.11.3", "pyqtgraph": "0.14.0"}[package]


def look(
    *absent: str,
    environ: dict[str, str] | None = None,
    version_of: Callable[[str], str | None] = good_version,
    answers: Callable[[str], bool] = lambda name: True,
    python: tuple[int, int] = (3, 11),
    platform: str = "linux",
) -> list[Problem]:
    return check(
        loader_without(*absent),
        OFFSCREEN if environ is None else environ,
        platform,
        python=python,
        version_of=version_of,
        answers=answers,
    )


def names(problems: list[Problem]) -> list[str]:
    return [problem.library.name for problem in problems if problem.library is not None]


def test_nothing_missing_is_no_problem() -> None:
    assert look() == []
    assert look(environ={"DISPLAY": ":0"}) == []
    assert look(environ={"WAYLAND_DISPLAY": "wayland-0"}) == []


def test_this_machine_can_open_the_offscreen_window() -> None:
    assert check(environ=OFFSCREEN) == []


@pytest.mark.parametrize("library", EVERYWHERE, ids=lambda library: library.name)
def test_each_library_that_qt_always_needs_is_noticed(library: Library) -> None:
    assert names(look(library.name)) == [library.name]


@pytest.mark.parametrize("library", X11, ids=lambda library: library.name)
def test_the_x11_libraries_are_needed_only_with_x11(library: Library) -> None:
    assert names(look(library.name, environ={"DISPLAY": ":0"})) == [library.name]
    assert names(look(library.name, environ={"QT_QPA_PLATFORM": "xcb"})) == [library.name]
    assert look(library.name) == []
    assert look(library.name, environ={"WAYLAND_DISPLAY": "wayland-0"}) == []


@pytest.mark.parametrize("library", WAYLAND, ids=lambda library: library.name)
def test_the_wayland_libraries_are_needed_only_with_wayland(library: Library) -> None:
    assert names(look(library.name, environ={"WAYLAND_DISPLAY": "wayland-0"})) == [library.name]
    assert look(library.name, environ={"DISPLAY": ":0"}) == []
    assert look(library.name) == []


def test_qt_falls_back_to_x11_where_wayland_is_incomplete() -> None:
    both = {"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}
    assert look("libwayland-cursor.so.0", environ=both) == []
    assert look(environ=both, answers=lambda name: name == "xcb") == []
    missing = look("libwayland-cursor.so.0", "libxcb-cursor.so.0", environ=both)
    assert names(missing) == ["libwayland-cursor.so.0"]


def test_all_missing_libraries_make_one_command() -> None:
    problems = look(
        "libEGL.so.1", "libxcb-cursor.so.0", "libxcb-icccm.so.4", environ={"DISPLAY": ":0"}
    )
    text = explain(problems, DEBIAN, root=False)
    assert "libEGL.so.1, libxcb-cursor.so.0, libxcb-icccm.so.4" in text
    assert "    sudo apt install libegl1 libxcb-cursor0 libxcb-icccm4" in text.splitlines()


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ({"ID": "ubuntu", "ID_LIKE": "debian"}, "sudo apt install libxcb-cursor0 libxcb-icccm4"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu"}, "sudo apt install libxcb-cursor0 libxcb-icccm4"),
        ({"ID": "fedora"}, "sudo dnf install xcb-util-cursor xcb-util-wm"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos"}, "sudo dnf install xcb-util-cursor xcb-util-wm"),
        ({"ID": "manjaro", "ID_LIKE": "arch"}, "sudo pacman -S xcb-util-cursor xcb-util-wm"),
    ],
    ids=lambda value: value["ID"] if isinstance(value, dict) else "",
)
def test_the_command_is_the_distributions_own(release: dict[str, str], command: str) -> None:
    problems = look("libxcb-cursor.so.0", "libxcb-icccm.so.4", environ={"DISPLAY": ":0"})
    assert f"    {command}" in explain(problems, release, root=False).splitlines()


def test_root_needs_no_sudo() -> None:
    problems = look("libGL.so.1")
    assert "    apt install libgl1" in explain(problems, DEBIAN, root=True).splitlines()


def test_an_unknown_distribution_gets_the_library_and_package_names() -> None:
    text = explain(look("libGL.so.1"), {"ID": "nixos"}, root=False)
    assert "libGL.so.1" in text
    assert "Debian and Ubuntu" in text
    assert "    libgl1" in text.splitlines()
    assert "sudo" not in text


def test_one_package_for_two_libraries_is_named_once() -> None:
    text = explain(look("libglib-2.0.so.0", "libgthread-2.0.so.0"), DEBIAN, root=False)
    assert text.count("libglib2.0-0") == 1


def test_no_display_is_said_and_not_left_to_abort() -> None:
    (problem,) = look(environ={})
    assert "neither DISPLAY nor WAYLAND_DISPLAY" in problem.message
    assert "ssh -X" in explain([problem])


def test_a_display_that_does_not_answer_is_named() -> None:
    (problem,) = look(environ={"DISPLAY": ":77"}, answers=lambda name: False)
    assert ":77" in problem.message
    assert "DISPLAY" in problem.fix


@pytest.mark.skipif(sys.platform != "linux", reason="asks for an X11 display")
def test_asking_a_display_that_is_not_there_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        ctypes.CDLL("libxcb.so.1")
    except OSError:
        pytest.skip("libxcb is not installed here")
    monkeypatch.setenv("DISPLAY", ":7777")
    assert preflight.display_answers("xcb") is False


@pytest.mark.parametrize(
    ("chosen", "first"),
    [("xcb", "libxcb-cursor.so.0"), ("wayland-egl;xcb", "libwayland-client.so.0")],
)
def test_a_platform_chosen_by_hand_is_the_one_looked_at(chosen: str, first: str) -> None:
    absent = ("libxcb-cursor.so.0", "libwayland-client.so.0")
    assert names(look(*absent, environ={"QT_QPA_PLATFORM": chosen})) == [first]


@pytest.mark.parametrize("chosen", ["minimal", "vnc:size=800x600", "offscreen;xcb"])
def test_platforms_without_a_display_server_need_none(chosen: str) -> None:
    assert look("libxcb-cursor.so.0", environ={"QT_QPA_PLATFORM": chosen}) == []


@pytest.mark.parametrize("version", [(3, 9), (3, 14), (2, 7)])
def test_an_unfit_python_is_the_only_thing_said(version: tuple[int, int]) -> None:
    (problem,) = look("libGL.so.1", python=version)
    assert f"{version[0]}.{version[1]}" in problem.message
    assert "3.10 to 3.13" in problem.message


@pytest.mark.parametrize("version", [(3, 10), (3, 13)])
def test_the_outermost_pythons_are_fit(version: tuple[int, int]) -> None:
    assert look(python=version) == []


def test_missing_python_packages_come_with_the_pip_command() -> None:
    (problem,) = look("libGL.so.1", version_of=lambda name: None)
    assert "PySide6 and pyqtgraph are not installed" in problem.message
    assert "pip install 'trickster[app]'" in problem.fix
    (problem,) = look(version_of=lambda name: "6.11.3" if name == "PySide6" else None)
    assert "package pyqtgraph is not installed" in problem.message


@pytest.mark.parametrize(
    ("version", "fit"),
    [("6.10.1", False), ("6.10.2", True), ("6.11.3", True), ("6.12", False), ("6.12.0", False)],
)
def test_only_a_pyside_that_keeps_its_references_is_fit(version: str, fit: bool) -> None:
    problems = look(version_of=lambda name: version)
    assert (problems == []) is fit
    assert all("PySide6-Essentials>=6.10.2,<6.12" in problem.fix for problem in problems)


def test_a_pyside_without_a_version_is_taken_at_its_word() -> None:
    assert look(version_of=lambda name: "") == []


def test_installed_versions_are_read_from_this_environment() -> None:
    import pyqtgraph
    import PySide6

    assert preflight.installed_version("PySide6") == PySide6.__version__
    assert preflight.installed_version("pyqtgraph") == pyqtgraph.__version__
    assert preflight.installed_version("no_such_package") is None
    assert preflight.installed_version("json") == ""


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_than_on_linux_no_library_is_looked_for(platform: str) -> None:
    assert look("libGL.so.1", environ={}, platform=platform) == []


def test_it_imports_no_qt_and_exits_with_one_clear_message() -> None:
    code = (
        "import sys; from trickster_gui import __main__ as m; "
        "status = m.main(); assert 'PySide6' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "can't open here" in done.stderr


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="asks dpkg whose file it is")
def test_debian_agrees_on_what_is_in_which_package() -> None:
    """Asked for those packages that are installed here."""
    checked = 0
    for library in EVERYWHERE + X11 + WAYLAND:
        done = subprocess.run(
            ["dpkg-query", "--listfiles", library.debian],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            files = [line.rpartition("/")[2] for line in done.stdout.splitlines()]
            assert library.name in files, f"{library.debian} has no {library.name}"
            checked += 1
    if not checked:
        pytest.skip("none of these packages is installed here")
