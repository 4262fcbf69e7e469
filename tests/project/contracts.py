"""What pyproject.toml's import contracts say about the engine's light modules."""

from __future__ import annotations

from importlinter.api import read_configuration

from tests.project import ROOT

LIGHT = "What answers a slider is light: no torch, no numpy, nothing that needs them"


def light_modules() -> list[str]:
    """Every module of the engine that may load neither torch nor numpy, packages opened up."""
    contracts = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    (light,) = (contract for contract in contracts if contract["name"] == LIGHT)
    names: list[str] = []
    for name in light["source_modules"]:
        path = ROOT.joinpath(*name.split("."))
        sources = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        for source in sources:
            parts = source.relative_to(ROOT).with_suffix("").parts
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names
