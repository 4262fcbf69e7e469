"""What the window remembers of itself: its shape, its theme, what is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from trickster_gui.theme import Choice

_THEMES = ("system", "light", "dark")
_MOST_RECENT = 10
_MOST_ENTRIES = 64
_MOST_TEXT = 4_096


@dataclass(frozen=True)
class Settings:
    """Everything about the window that comes back with it; the design is no part of it.

    ``geometry`` is Qt's own record of place and size (base64); ``splitters`` the sizes in px of
    each splitter's panels by its name; ``disclosed`` what is open in the Design panel;
    ``looked_at`` the device whose costs are shown though it is not in this computer.
    """

    theme: Choice = "system"
    geometry: str = ""
    splitters: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    disclosed: Mapping[str, bool] = field(default_factory=dict)
    recent_files: tuple[str, ...] = ()
    looked_at: str = ""

    def with_recent(self, path: str) -> tuple[str, ...]:
        """The recent files once ``path`` has been opened."""
        others = (other for other in self.recent_files if other != path)
        return (path, *others)[:_MOST_RECENT]


def settings_to_dict(settings: Settings) -> dict[str, Any]:
    """The settings, ready for JSON."""
    return {
        "theme": settings.theme,
        "geometry": settings.geometry,
        "splitters": {name: list(sizes) for name, sizes in settings.splitters.items()},
        "disclosed": dict(settings.disclosed),
        "recent_files": list(settings.recent_files),
        "looked_at": settings.looked_at,
    }


def settings_from_dict(values: object) -> Settings:
    """Settings from a file that anybody may have edited: what is not understood is left out."""
    if not isinstance(values, Mapping):
        return Settings()
    theme = values.get("theme")
    geometry = values.get("geometry")
    looked_at = values.get("looked_at")
    return Settings(
        theme=cast(Choice, theme) if theme in _THEMES else "system",
        geometry=geometry if isinstance(geometry, str) and len(geometry) <= _MOST_TEXT else "",
        splitters={
            name: tuple(sizes) for name, sizes in _entries(values.get("splitters")) if _sizes(sizes)
        },
        disclosed={
            name: on for name, on in _entries(values.get("disclosed")) if isinstance(on, bool)
        },
        recent_files=_paths(values.get("recent_files")),
        looked_at=looked_at if isinstance(looked_at, str) and len(looked_at) < 64 else "",
    )


def _entries(values: object) -> list[tuple[str, Any]]:
    if not isinstance(values, Mapping):
        return []
    return [(name, value) for name, value in values.items() if isinstance(name, str)][
        :_MOST_ENTRIES
    ]


def _sizes(value: object) -> bool:
    return (
        isinstance(value, (list, tuple))
        and 0 < len(value) <= 8
        and all(isinstance(size, int) and 0 <= size <= 100_000 for size in value)
    )


def _paths(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        return ()
    texts = [path for path in value if isinstance(path, str) and 0 < len(path) <= _MOST_TEXT]
    return tuple(texts[:_MOST_RECENT])
