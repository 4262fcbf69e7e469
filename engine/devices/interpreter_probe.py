"""Says what a Python interpreter has, for ``engine.devices.interpreter``, which runs this text.

It runs under any Python 3, with nothing but the standard library, and prints a marked line of
JSON after each step: what kills the interpreter in the next one leaves the earlier lines standing.
With the argument ``deep`` the packages of Tenstorrent are really imported.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

MARK = "TRICKSTER-PROBE "
# Names of modules, and of the packages that bring them where these are called otherwise.
MODULES = {
    "filelock": "", "numpy": "", "platformdirs": "", "psutil": "", "yaml": "PyYAML",
    "safetensors": "", "tokenizers": "", "ttnn": "", "ttml": "",
}  # fmt: skip


def say(values: dict[str, object]) -> None:
    """Print one line for the program that asked."""
    print("\n" + MARK + json.dumps(values), flush=True)


def packages() -> dict[str, str]:
    """Version of each module that is there; empty where it does not tell."""
    found = {}
    for module, package in MODULES.items():
        if importlib.util.find_spec(module) is None:
            continue
        try:
            found[module] = importlib.metadata.version(package or module)
        except importlib.metadata.PackageNotFoundError:
            found[module] = ""
    return found


def attempt(module: str) -> dict[str, object]:
    """Import a module; say where it lies and what went wrong."""
    try:
        found = importlib.import_module(module)
    except BaseException as error:  # a package may even call sys.exit
        return {"folder": "", "error": f"{type(error).__name__}: {error}"[:500]}
    file = getattr(found, "__file__", None)
    return {"folder": str(Path(file).parent) if file else "", "error": ""}


def is_tt_train(module: str) -> bool:
    """Whether a module ``ttml`` is tt-train's: by its files, without running it.

    The package of that name on PyPI is something else.
    """
    spec = importlib.util.find_spec(module)
    folders = list((spec and spec.submodule_search_locations) or ())
    native = importlib.util.find_spec(f"_{module}") is not None
    return native or any(
        (Path(folder) / "models").is_dir() or list(Path(folder).glob(f"_{module}*.so"))
        for folder in folders
    )


def main() -> None:
    """All steps, the most dangerous ones last."""
    say({"version": list(sys.version_info[:3]), "own": sys.prefix != sys.base_prefix})
    there = packages()
    say({"packages": there})
    if "ttml" in there:
        say({"ttml": {"real": is_tt_train("ttml"), "error": ""}})
    if "deep" not in sys.argv:
        return
    if "ttnn" in there:
        say({"importing": "ttnn"})
        say({"ttnn": attempt("ttnn")})
    if "ttml" in there and is_tt_train("ttml"):
        say({"importing": "ttml"})
        say({"ttml": {"real": True, "error": attempt("ttml")["error"]}})


if __name__ == "__main__":
    main()
