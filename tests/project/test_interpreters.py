"""The engine means the same to every Python from 3.10 to 3.13 that is installed here.

Without any network: the other interpreters borrow this environment's packages that have no compiled
part, or one that fits every Python. `make interpreters` goes on to real installations.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.presets import load_presets
from tests.project import ROOT
from tests.project.contracts import light_modules
from tests.project.interpreters import VERSIONS, installed

BORROWED = ("filelock", "platformdirs", "psutil", "yaml")

COMPILE = """
import pathlib, sys, warnings
warnings.simplefilter("error")
for name in sys.stdin.read().split("\\n"):
    compile(pathlib.Path(name).read_text(encoding="utf-8"), name, "exec")
"""

# Prints the modules that can't be imported because of a borrowed package that this Python is too
# old for. Any other failure ends the program.
IMPORT = """
import importlib, json, sys, traceback
modules, folder = json.loads(sys.argv[1])
stopped = []
for name in modules:
    try:
        importlib.import_module(name)
    except (ImportError, SyntaxError, TypeError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        if not any(frame.filename.startswith(folder) for frame in frames):
            raise
        stopped.append(name)
print(json.dumps(stopped))
"""

COSTS = """
import dataclasses, itertools, json
from engine.cost.evaluation import evaluate
from engine.devices.card import load_cards
from engine.presets import load_presets
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

designs = [(preset.model, preset.run) for preset in load_presets() if preset.total is not None]
designs += [
    (ModelSpec(activation=activation, position=position, norm=norm, num_kv_heads=heads), RunSpec())
    for activation, position, norm, heads in itertools.product(
        ("relu", "swiglu"), ("rope", "learned"), ("layernorm", "rmsnorm"), (8, 2, 1)
    )
]
cards = load_cards()
costs = [dataclasses.asdict(evaluate(spec, run, cards)) for spec, run in designs]
print(json.dumps(costs, sort_keys=True, default=str))
"""


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> Path:
    """Each interpreter in turn."""
    if request.param not in installed():
        pytest.skip(f"Python {request.param} is not installed here")
    return installed()[request.param]


@pytest.fixture
def borrowed(tmp_path: Path) -> Path:
    """A folder with those packages of this environment that any Python can load."""
    folder = tmp_path / "borrowed"
    folder.mkdir()
    for name in BORROWED:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.submodule_search_locations
        (folder / name).symlink_to(spec.submodule_search_locations[0])
    return folder


def run(python: Path, code: str, borrowed: Path, *arguments: str, text: str = "") -> str:
    """Runs code with this project and the borrowed packages, and with nothing else installed."""
    surroundings = {
        **os.environ,
        "PYTHONPATH": f"{borrowed}{os.pathsep}{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [python, "-s", "-S", "-W", "error", "-c", code, *arguments],
        env=surroundings,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_source_is_valid_for_it(python: Path, borrowed: Path) -> None:
    sources = [ROOT / "main.py"]
    for folder in ("engine", "trickster_gui", "tests", "benchmarks"):
        sources += sorted((ROOT / folder).rglob("*.py"))
    assert len(sources) > 10
    run(python, COMPILE, borrowed, text="\n".join(map(str, sources)))


def test_the_light_modules_can_be_imported(python: Path, borrowed: Path) -> None:
    question = json.dumps([light_modules(), str(borrowed)])
    stopped = set(json.loads(run(python, IMPORT, borrowed, question)))
    # The filelock that goes with Python 3.11 asks for 3.11; an installation for 3.10 gets its own.
    # What reads and writes runs waits for it there; what answers a slider must not.
    if python != installed().get("3.10"):
        assert stopped == set()
    assert not stopped & {"engine.spec", "engine.presets", "engine.cost.evaluation"}


def test_all_costs_come_out_the_same(python: Path, borrowed: Path) -> None:
    here = run(Path(sys.executable), COSTS, borrowed)
    totals = [cost["parameters"]["total"] for cost in json.loads(here)]
    published = [preset.total for preset in load_presets() if preset.total is not None]
    assert totals[: len(published)] == published
    assert run(python, COSTS, borrowed) == here
