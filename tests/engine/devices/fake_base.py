"""A Python 3.12 whose venv and pip are scripts: what they print was recorded, what they do is told.

`Base.python` makes environments whose pip runs the shell scripts in `Base.download` and
`Base.install`; by default both work, and install lays down small packages of the real names.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.engine.devices import stand_in
from tests.engine.devices.recorded import program

_HERE = sys.executable

DOWNLOADED = """\
Looking in indexes: https://index.example/simple
Collecting ttnn
  Downloading ttnn-0.81.1-cp312-cp312-manylinux_2_34_x86_64.whl (102.6 MB)
Collecting numpy<2
  Using cached numpy-1.26.4-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl (18.0 MB)
Processing /wheels/psutil-7.2.2-cp36-abi3-manylinux2010_x86_64.whl
Saved ./downloads/ttnn-0.81.1-cp312-cp312-manylinux_2_34_x86_64.whl
"""
INSTALLED = """\
Looking in links: /downloads
Processing /downloads/ttnn-0.81.1-cp312-cp312-manylinux_2_34_x86_64.whl
Installing collected packages: psutil, numpy, ttnn
Successfully installed numpy-1.26.4 psutil-7.2.2 ttnn-0.81.1
"""
UNREACHED = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after \
connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at \
0x7fb2a6ebe1b0>: Failed to establish a new connection: [Errno 111] Connection refused')': \
/simple/ttnn/
ERROR: Could not find a version that satisfies the requirement ttnn (from versions: none)
ERROR: No matching distribution found for ttnn
"""
NOT_THERE = """\
ERROR: Could not find a version that satisfies the requirement ttnn (from versions: 0.50.0, 0.51.0)
ERROR: No matching distribution found for ttnn
"""
FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
DENIED = (
    "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x/lib'\n"
    "Check the permissions.\n"
)

_START = """
import sys
sys.path = [{site!r}, *(path for path in sys.path if "site-packages" not in path)]
sys.version_info = {version!r}
sys.base_prefix, sys.prefix = "/usr", {prefix!r}
code, sys.argv = sys.argv[1], ["-c", *sys.argv[2:]]
exec(compile(code, "-c", "exec"), {{"__name__": "__main__"}})
"""
# An environment's Python: answers the probe, and runs the scripts in place of pip.
_INSIDE = """\
#!/bin/sh
if [ "$1" = "-c" ]; then shift; exec "{here}" -S -B "{home}/inside.py" "$@"; fi
shift 4
echo "$@" >> "{home}/said"
[ "$1" = "--version" ] && exit 0
. "{home}/$1.sh"
"""
_VENV = """\
case "$*" in
  "-I -c import ensurepip, venv") exit {venv};;
  "-I -m venv {folder}") . "{home}/venv.sh"; exit 0;;
esac
shift
exec "{here}" -S -B "{home}/outside.py" "$@"
"""


@dataclass
class Base:
    """The Python, and the folder of the environment that it makes."""

    home: Path
    folder: Path
    version: tuple[int, int] = (3, 12)
    has_venv: bool = True

    def __post_init__(self) -> None:
        site = self.folder / "lib" / "python3.12" / "site-packages"
        for name, packages, prefix in (
            ("outside", self.home / "nothing", "/usr"), ("inside", site, str(self.folder)),
        ):  # fmt: skip
            (self.home / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
            (self.home / f"{name}.py").write_text(
                _START.format(site=str(packages), version=(*self.version, 4), prefix=prefix)
            )
        self.python = program(
            self.home / "bin", "python3",
            _VENV.format(venv=0 if self.has_venv else 1, home=self.home, here=_HERE,
                         folder=self.folder),
        )  # fmt: skip
        (self.home / "inside.sh").write_text(_INSIDE.format(here=_HERE, home=self.home))
        self.script(
            "venv",
            f'mkdir -p "{self.folder}/bin" "{site}"; echo "home = /usr" > '
            f'"{self.folder}/pyvenv.cfg"\n'
            f'cp "{self.home}/inside.sh" "{self.folder}/bin/python"; '
            f'chmod +x "{self.folder}/bin/python"',
        )
        self.script("download", self.printing(DOWNLOADED))
        self.brings(stand_in.PACKAGES)

    def brings(self, versions: Mapping[str, str], sources: Mapping[str, str] | None = None) -> None:
        """What install lays down, and with which sources."""
        self.script("install", self.laying(versions, sources))

    def laying(self, versions: Mapping[str, str], sources: Mapping[str, str] | None = None) -> str:
        """A script that lays down these packages and says so."""
        brought = self.home / f"brought-{len(list(self.home.iterdir()))}"
        stand_in.packages(brought, versions, sources or {})
        site = self.folder / "lib" / "python3.12" / "site-packages"
        return f'cp -r "{brought}/." "{site}"\n{self.printing(INSTALLED)}'

    def script(self, name: str, text: str) -> None:
        """What happens in place of venv, download or install."""
        (self.home / f"{name}.sh").write_text(text + "\n")

    def printing(self, text: str, *, errors: bool = False) -> str:
        """A script that prints this."""
        file = self.home / f"text-{len(list(self.home.iterdir()))}"
        file.write_text(text)
        return f'cat "{file}"' + " >&2" * errors

    def failing(self, text: str) -> str:
        """A script that prints this as its errors and fails."""
        return f"{self.printing(text, errors=True)}; exit 1"

    def hanging(self, text: str) -> str:
        """A script that prints this and goes on for ever, with a child of its own; see begun."""
        return f'{self.printing(text)}; sleep 600 & touch "{self.home}/begun"; sleep 600'

    def begun(self) -> bool:
        """Whether a script that hangs is under way."""
        return (self.home / "begun").exists()

    def said(self) -> list[str]:
        """What pip was told, a line each."""
        file = self.home / "said"
        return file.read_text().splitlines() if file.exists() else []
