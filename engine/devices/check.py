"""One line of a checklist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "unknown"]


@dataclass(frozen=True)
class Check:
    """One thing that training on a card needs, or that is worth knowing.

    Attributes:
        name: for programs, such as hugepages.
        title: for people.
        state: ok; missing; or unknown, which never keeps training from being tried.
        found: what was found, in words.
        advice: what to do, one step a line; empty where there is nothing to do.
        needed: whether training cannot start while it is missing.
    """

    name: str
    title: str
    state: State
    found: str
    advice: str = ""
    needed: bool = True
