"""The system libraries that Qt loads on Linux, and the package that brings each one.

What each part of Qt needs was read from the wheel itself: `readelf -d` of libQt6Core, libQt6Gui,
libQt6DBus, libqxcb.so and libqwayland.so of PySide6-Essentials 6.11.3.
Runs from Python 3.7 on, as preflight does, which has to tell an old one apart.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Library:
    """A shared library by the name that the loader asks for, and its package in each family."""

    name: str
    debian: str
    fedora: str
    arch: str


# Every platform plugin needs these, offscreen too.
EVERYWHERE = (
    Library("libEGL.so.1", "libegl1", "libglvnd-egl", "libglvnd"),
    Library("libGL.so.1", "libgl1", "libglvnd-glx", "libglvnd"),
    Library("libX11.so.6", "libx11-6", "libX11", "libx11"),
    Library("libxkbcommon.so.0", "libxkbcommon0", "libxkbcommon", "libxkbcommon"),
    Library("libfontconfig.so.1", "libfontconfig1", "fontconfig", "fontconfig"),
    Library("libfreetype.so.6", "libfreetype6", "freetype", "freetype2"),
    Library("libdbus-1.so.3", "libdbus-1-3", "dbus-libs", "dbus"),
    Library("libglib-2.0.so.0", "libglib2.0-0", "glib2", "glib2"),
    Library("libgthread-2.0.so.0", "libglib2.0-0", "glib2", "glib2"),
    Library("libzstd.so.1", "libzstd1", "libzstd", "zstd"),
    Library("libz.so.1", "zlib1g", "zlib", "zlib"),
    Library("libstdc++.so.6", "libstdc++6", "libstdc++", "gcc-libs"),
)

X11 = (
    Library("libxcb-cursor.so.0", "libxcb-cursor0", "xcb-util-cursor", "xcb-util-cursor"),
    Library("libxcb-icccm.so.4", "libxcb-icccm4", "xcb-util-wm", "xcb-util-wm"),
    Library("libxcb-util.so.1", "libxcb-util1", "xcb-util", "xcb-util"),
    Library("libxcb-image.so.0", "libxcb-image0", "xcb-util-image", "xcb-util-image"),
    Library("libxcb-keysyms.so.1", "libxcb-keysyms1", "xcb-util-keysyms", "xcb-util-keysyms"),
    Library(
        "libxcb-render-util.so.0",
        "libxcb-render-util0",
        "xcb-util-renderutil",
        "xcb-util-renderutil",
    ),
    Library("libxcb-randr.so.0", "libxcb-randr0", "libxcb", "libxcb"),
    Library("libxcb-render.so.0", "libxcb-render0", "libxcb", "libxcb"),
    Library("libxcb-shape.so.0", "libxcb-shape0", "libxcb", "libxcb"),
    Library("libxcb-shm.so.0", "libxcb-shm0", "libxcb", "libxcb"),
    Library("libxcb-sync.so.1", "libxcb-sync1", "libxcb", "libxcb"),
    Library("libxcb-xfixes.so.0", "libxcb-xfixes0", "libxcb", "libxcb"),
    Library("libxcb-xkb.so.1", "libxcb-xkb1", "libxcb", "libxcb"),
    Library("libxcb.so.1", "libxcb1", "libxcb", "libxcb"),
    Library("libX11-xcb.so.1", "libx11-xcb1", "libX11-xcb", "libx11"),
    Library("libxkbcommon-x11.so.0", "libxkbcommon-x11-0", "libxkbcommon-x11", "libxkbcommon-x11"),
)

WAYLAND = (
    Library("libwayland-client.so.0", "libwayland-client0", "libwayland-client", "wayland"),
    Library("libwayland-cursor.so.0", "libwayland-cursor0", "libwayland-cursor", "wayland"),
)

_INSTALL = {"debian": "apt install", "fedora": "dnf install", "arch": "pacman -S"}
# Distributions that don't name their family in ID_LIKE.
_FAMILY = {"ubuntu": "debian", "rhel": "fedora", "centos": "fedora"}


def install_command(libraries: list[Library], os_release: dict[str, str], root: bool) -> str | None:
    """One line that installs all of them, or None on a distribution that isn't known here.

    `os_release` is what /etc/os-release says; `root` leaves out sudo.
    """
    names = [os_release.get("ID", ""), *os_release.get("ID_LIKE", "").split()]
    families = [_FAMILY.get(name, name) for name in names]
    family = next((name for name in families if name in _INSTALL), None)
    if family is None:
        return None
    packages = sorted({getattr(library, family) for library in libraries})
    return f"{'' if root else 'sudo '}{_INSTALL[family]} {' '.join(packages)}"
