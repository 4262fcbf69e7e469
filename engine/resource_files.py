"""Where the files of `resources/` are: in a checkout beside the packages, in a wheel inside one."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

# A wheel carries resources/ as engine/_resources (pyproject.toml); a checkout has it at its top.
_IN_WHEEL = Path(__file__).resolve().parent / "_resources"
_IN_CHECKOUT = Path(__file__).resolve().parent.parent / "resources"

MAX_RESOURCE_BYTES = 8 * 1024 * 1024


class ResourceError(Exception):
    """A file that the program itself carries is missing or damaged: the installation is broken."""


@lru_cache(maxsize=1)
def resources_dir() -> Path:
    """The folder that holds all resources. Raises ResourceError when there is none."""
    for folder in (_IN_WHEEL, _IN_CHECKOUT):
        if folder.is_dir():
            return folder
    raise ResourceError(
        f"Trickster's own files are missing: neither {_IN_WHEEL} nor {_IN_CHECKOUT} exists. "
        "Install it again: pip install --force-reinstall trickster"
    )


def resource_path(*parts: str) -> Path:
    """The path of a file or folder below resources/, e.g. `resource_path("icons", "play.svg")`.

    Raises ResourceError when it doesn't exist and ValueError when it would lie outside.
    """
    root = resources_dir()
    path = root.joinpath(*parts)
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{'/'.join(parts)} is not inside the resources")
    if not path.exists():
        raise ResourceError(
            f"Trickster's own file {'/'.join(parts)} is missing from {root}. "
            "Install it again: pip install --force-reinstall trickster"
        )
    return path


def read_resource_text(*parts: str) -> str:
    """The UTF-8 text of a resource file of at most MAX_RESOURCE_BYTES; ResourceError otherwise."""
    path = resource_path(*parts)
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_RESOURCE_BYTES:
            raise ResourceError(f"{path} has {size_bytes:,} bytes, more than a resource may have")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResourceError(f"{path} can't be read: {error}") from error


def read_resource_yaml(*parts: str) -> Any:
    """What a YAML resource says: plain data only. Raises ResourceError where it isn't YAML."""
    import yaml  # late: a bare Python makes the environment of cards in a checkout

    # The same safe loader in C, ten times as fast, where PyYAML was built with it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = read_resource_text(*parts)
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506 - safe either way
    except yaml.YAMLError as error:
        raise ResourceError(f"{resource_path(*parts)} is not valid YAML: {error}") from error
