"""Where tt-metal built from source lies, told by the Python that it made for itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# ttnn and ttml built from source look for their kernels and their compiler at these.
_VARIABLES = ("TT_METAL_HOME", "TT_METAL_RUNTIME_ROOT")


def metal_variables(python: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """What the environment of ``python`` lacks to find tt-metal; empty: nothing, or not certain.

    Certain is a Python of ``<tt-metal>/python_env`` beside tt-metal's own sources and tt-train's.
    A person who has set either variable has decided.
    """
    if any(environment.get(name) for name in _VARIABLES):
        return {}
    home = python.parents[2] if len(python.parents) > 2 else python
    made_there = python.parent == home / "python_env" / "bin"
    if not made_there or not all((home / part).is_dir() for part in ("tt_metal", "tt-train")):
        return {}
    return dict.fromkeys(_VARIABLES, str(home))
