"""The session on disk: the design with its undo steps, and the window as it was left.

Written aside and renamed, so that a kill at any moment leaves the old file or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.parameter import SpecError
from engine.run_spec import RunSpec, run_from_dict, run_parameters, run_to_dict
from engine.spec import ModelSpec, model_parameters, spec_from_dict, spec_to_dict
from trickster_gui.document import MAX_TITLE, UNDO_LIMIT, Design, History, HistoryStep
from trickster_gui.settings import Settings, settings_from_dict, settings_to_dict

FORMAT = 1
MAX_BYTES = 4 << 20
KEPT_STEPS = 100
_MOST_TEXT = 200


class SessionError(Exception):
    """The session file could not be read; the message says what became of it."""


@dataclass(frozen=True)
class Session:
    """A session: the design's history (its present design included), the window, a file's path.

    ``path`` is the design file that the design belongs to; empty for none.
    """

    history: History
    settings: Settings = field(default_factory=Settings)
    path: str = ""


def load_session(path: Path) -> Session | None:
    """The session in a file; None where there is no file.

    Raises SessionError where it is damaged, having set it aside as ``session.damaged.json``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SessionError(f"The last session can't be read: {error}") from error
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
        return session_from_dict(json.loads(data))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SessionError(_set_aside(path)) from error


def _set_aside(path: Path) -> str:
    aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
    try:
        path.replace(aside)
    except OSError as error:
        return (
            f"The file of the last session, {path}, is damaged, so a fresh session has begun. "
            f"It can't be set aside ({error.strerror}): copy it now to keep it."
        )
    return (
        f"The file of the last session is damaged, so a fresh session has begun. "
        f"The damaged file was set aside as {aside.name} in {aside.parent}."
    )


def save_session(path: Path, session: Session, *, sync: bool = False) -> None:
    """Write the session whole or not at all. ``sync`` waits for the disk. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".new")
    with aside.open("w", encoding="utf-8") as file:
        file.write(json.dumps(session_to_dict(session)))
        if sync:
            file.flush()
            os.fsync(file.fileno())
    aside.replace(path)


def session_to_dict(session: Session) -> dict[str, Any]:
    """The session, ready for JSON. Each step holds only what it changed."""
    history = session.history
    steps, before = [], history.first
    for step in history.steps:
        steps.append({"text": step.text, **_difference(before, step.after)})
        before = step.after
    return {
        "format": FORMAT,
        "design": _design_to_dict(history.first),
        "steps": steps,
        "done": history.done,
        "path": session.path,
        "settings": settings_to_dict(session.settings),
    }


def session_from_dict(values: object) -> Session:
    """A session from JSON; raises ValueError (SpecError too) for what can't be understood."""
    if not isinstance(values, Mapping):
        raise ValueError("it holds no session")
    if values.get("format") != FORMAT:
        raise ValueError(f"its format {str(values.get('format'))[:20]!r} is not known")
    first = _design_from_dict(values["design"])
    listed = values.get("steps", [])
    if not isinstance(listed, list) or len(listed) > 2 * UNDO_LIMIT:
        raise ValueError("its steps of undo are no list")
    steps: list[HistoryStep] = []
    design = first
    for entry in listed:
        if not isinstance(entry, Mapping):
            raise ValueError("a step of undo is no object")
        design = _changed(design, entry)
        steps.append(HistoryStep(str(entry.get("text", ""))[:_MOST_TEXT], design))
    done = values.get("done", len(steps))
    if isinstance(done, bool) or not isinstance(done, int) or not 0 <= done <= len(steps):
        raise ValueError("its place in the history is outside of it")
    path = values.get("path", "")
    return Session(
        History(first, tuple(steps), done),
        settings_from_dict(values.get("settings")),
        path if isinstance(path, str) else "",
    )


def _design_to_dict(design: Design) -> dict[str, Any]:
    return {
        "title": design.title,
        "model": spec_to_dict(design.model),
        "run": run_to_dict(design.run),
    }


def _design_from_dict(values: object) -> Design:
    return _changed(Design(ModelSpec(), RunSpec()), values)


def _difference(before: Design, after: Design) -> dict[str, Any]:
    changed: dict[str, Any] = {
        "model": _changes(before.model, after.model, model_parameters()),
        "run": _changes(before.run, after.run, run_parameters()),
    }
    if before.title != after.title:
        changed["title"] = after.title
    return changed


def _changes(before: object, after: object, names: Iterable[str]) -> dict[str, Any]:
    """Fields that differ. Not by asdict, which copies deeply: this runs while a hand drags."""
    if before is after:
        return {}
    return {
        name: value for name in names if (value := getattr(after, name)) != getattr(before, name)
    }


def _changed(design: Design, values: object) -> Design:
    if not isinstance(values, Mapping):
        raise ValueError("a design is no object")
    model, run = values.get("model", {}), values.get("run", {})
    title = values.get("title", design.title)
    if not (isinstance(model, Mapping) and isinstance(run, Mapping) and isinstance(title, str)):
        raise ValueError("a design's parts have the wrong types")
    try:
        return Design(
            spec_from_dict({**spec_to_dict(design.model), **model}),
            run_from_dict({**run_to_dict(design.run), **run}),
            title[:MAX_TITLE],
        )
    except SpecError as error:
        raise ValueError(str(error)) from error
