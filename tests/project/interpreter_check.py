"""`make interpreters`: installs the engine for each Python found here and runs its tests there.

Takes minutes, needs the package index, and is no part of the tests. Tests that need torch or Qt are
left out: those belong to `make test PYTHON=…`. Python 3.10 gets numpy below 2, as the environments
that Tenstorrent's ttnn is made for have it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.project import ROOT
from tests.project.interpreters import VERSIONS, installed

TEST_TOOLS = ("pytest", "pytest-timeout", "hypothesis")
# The numbers at 3.10 are those of a ttnn environment, so the pins don't apply there.
NUMPY = {"3.10": "numpy<2"}

TORCH_FOLDERS = ("models", "training", "backends")
NEEDS_TORCH = re.compile(
    r"^\s*(from|import) (torch|safetensors\.torch|engine\.(models|training|backends|worker)"
    r"|PySide6|pytestqt|transformers|importlinter)\b",
    re.MULTILINE,
)

SETTINGS = """
[pytest]
addopts = --strict-markers --import-mode=importlib -q -p no:cacheprovider
pythonpath = {root}
filterwarnings = error
timeout = 120
markers =
    leaves_behind(reason): this test may leave temporary files behind, for the reason given
"""


def test_files() -> list[Path]:
    """The engine's tests that need neither torch nor Qt."""
    folder = ROOT / "tests" / "engine"
    return [
        path
        for path in sorted(folder.rglob("test_*.py"))
        if path.relative_to(folder).parts[0] not in TORCH_FOLDERS
        and not NEEDS_TORCH.search(path.read_text(encoding="utf-8"))
    ]


def check(version: str, python: Path, folder: Path) -> None:
    """Installs and tests; ends the program with the status of whatever fails."""
    print(f"Python {version}", flush=True)
    environment = folder / version
    own = environment / "bin" / "python"
    _run([python, "-m", "venv", environment])
    numpy = NUMPY.get(version)
    pins = [numpy] if numpy else ["-c", ROOT / "constraints.txt"]
    _run([own, "-m", "pip", "install", "--quiet", ROOT, *TEST_TOOLS, *pins])
    settings = environment / "pytest.ini"
    settings.write_text(SETTINGS.format(root=ROOT), encoding="utf-8")
    _run([own, "-m", "pytest", "-c", settings, "--rootdir", ROOT, *test_files()])


def _run(command: list[str | Path]) -> None:
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(status)


def main() -> None:
    for version in VERSIONS:
        if version not in installed():
            print(f"Python {version} is not installed here", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="trickster-interpreters-") as folder:
            check(version, installed()[version], Path(folder))


if __name__ == "__main__":
    main()
