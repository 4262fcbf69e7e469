"""What answers a slider, and the window itself, never load what takes seconds to load."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.project import ROOT
from tests.project.contracts import light_modules

CODE = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def loaded_by(modules: list[str]) -> set[str]:
    """The top-level names that a fresh interpreter has loaded after importing `modules`."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(modules)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_the_light_modules_load_neither_torch_nor_numpy_nor_qt() -> None:
    modules = light_modules()
    assert {"engine.spec", "engine.cost.parameters"} <= set(modules)
    heavy = {"torch", "numpy", "tokenizers", "safetensors", "ttnn", "PySide6", "pyqtgraph"}
    assert loaded_by(modules) & heavy == set()


def test_every_module_of_the_engine_is_known_to_be_light_or_heavy() -> None:
    """A new module is light, or it is named here as one that isn't."""
    heavy = (
        "models", "training", "backends", "data", "interop", "worker", "worker_process",
        "__main__", "cli",
    )  # fmt: skip
    light = set(light_modules())
    for source in (ROOT / "engine").rglob("*.py"):
        parts = source.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        assert name == "engine" or name in light or parts[1] in heavy, name
