"""What pip says while it works, and what its errors mean."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable

from engine.devices.environment_error import CardEnvironmentError, disk_full

_WHEEL = re.compile(
    r"(?:Downloading|Using cached|Processing) (\S+?\.whl)(?![\w.])(?: \(([\d.]+ [kMG]?B)\))?"
)
_INSTALLING = re.compile(r"Installing collected packages: (.+)")
_NO_MATCH = re.compile(r"No matching distribution found for (\S+)")
_NO_VERSION = re.compile(r"Could not find a version that satisfies the requirement (\S+)")
_SEEN_OTHERS = re.compile(r"\(from versions: (?!none\))")  # the index did answer
_UNREACHED = re.compile(
    r"NewConnectionError|Failed to establish a new connection|NameResolutionError|ConnectTimeout"
    r"|ReadTimeout|Read timed out|ProxyError|Max retries exceeded|Connection reset"
    r"|RemoteDisconnected|IncompleteRead|SSLError|CERTIFICATE_VERIFY_FAILED|Network is unreachable"
    r"|Tunnel connection failed|HTTP error \d+|\b(?:401|403|5\d\d) (?:Client|Server) Error"
)
_DISK = re.compile(r"\[Errno (?:28|122)\]|No space left on device|Disk quota exceeded")
_NOT_ALLOWED = re.compile(r"\[Errno (?:1|13|30)\]")
_NAMED_MOST = 60


class Lines:
    """Cuts blocks of output into lines and hands each on."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""

    def __call__(self, block: bytes) -> None:
        *lines, self._rest = (self._rest + block).split(b"\n")
        self._rest = self._rest[-4_096:]
        for line in lines:
            self._on_line(line.decode("utf-8", "replace").strip())


def fetched(line: str) -> str:
    """What is being downloaded, as in “ttnn 0.81.1 (102.6 MB)”; empty for any other line."""
    found = _WHEEL.match(line)
    if found is None:
        return ""
    name, _, rest = found[1].rpartition("/")[2].partition("-")
    version = rest.partition("-")[0]
    size = f" ({found[2]})" if found[2] else ""
    return f"{name[:_NAMED_MOST]} {version[:_NAMED_MOST]}{size}"


def installing(line: str) -> int:
    """How many packages pip begins to install with this line; 0 for any other line."""
    found = _INSTALLING.match(line)
    return len(found[1].split(",")) if found else 0


def failure(said: str, last: str) -> CardEnvironmentError:
    """What pip's output means, in words that say what to do. ``last`` is said of anything else."""
    if _DISK.search(said):
        return disk_full()
    if _UNREACHED.search(said) and not _SEEN_OTHERS.search(said):
        return CardEnvironmentError(
            "network",
            "the package index cannot be reached. Check the network connection (behind a proxy: "
            "set https_proxy; with an index of your own: pip config set global.index-url URL), "
            "then try again.",
        )
    if missing := _NO_MATCH.search(said) or _NO_VERSION.search(said):
        return CardEnvironmentError("package", _not_there(missing[1]))
    if denied := _NOT_ALLOWED.search(said):
        line = next(line for line in said.splitlines() if denied[0] in line)
        return CardEnvironmentError(
            "folder", f"a folder cannot be written to: {_plain(line)}. Check who owns it."
        )
    return CardEnvironmentError("failed", f"pip could not install the packages: {_plain(last)}")


def _not_there(package: str) -> str:
    said = f"the package index has no {package[:_NAMED_MOST]} for this computer"
    libc, version = platform.libc_ver()
    here = f"{platform.system()} on {platform.machine()}" + (f" with {libc} {version}" * bool(libc))
    if package.startswith("ttnn"):
        return f"{said} ({here}): ttnn is made for Linux on x86-64 with glibc 2.34 or newer."
    return f"{said} ({here}). With an index of your own, see that it has all of PyPI's packages."


def _plain(line: str) -> str:
    text = "".join(character if character.isprintable() else " " for character in line)
    return " ".join(text.removeprefix("ERROR:").split())[:300].rstrip(".")
