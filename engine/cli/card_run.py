"""What ``train`` and ``resume`` ask before a run starts on a Tenstorrent card."""

from __future__ import annotations

import argparse

from engine.cost.card_fit import card_problems
from engine.devices.card import card_name
from engine.devices.card_rules import suited_to_cards
from engine.devices.preflight import Preflight, require_ready
from engine.presets import load_presets
from engine.run_spec import RunSpec
from engine.spec import ModelSpec


def ready_card(model: ModelSpec, run: RunSpec) -> Preflight | None:
    """The checklist of the run's card, where it can train this design; None: it is no card.

    Raises SpecError for what cards cannot train or hold, CardNotReadyError with the checklist
    where something is missing. Takes seconds for a card, nothing for other devices.
    """
    report = require_ready(model, run)
    problems = () if report is None else card_problems(model, run)
    if problems:
        raise problems[0]
    return report


def suited(arguments: argparse.Namespace, run: RunSpec) -> tuple[RunSpec, str]:
    """A preset's run on a card in a precision that cards have, where none was typed, and what
    there is to say of that. What a person or a file of theirs says stays as it is.
    """
    typed = getattr(arguments, "precision", None) is not None or any(
        text.startswith("precision=") for text in arguments.settings
    )
    is_preset = any(entry.id == arguments.spec for entry in load_presets())
    open_to_change = is_preset and bool(card_name(run.device)) and not typed
    found = suited_to_cards(run) if open_to_change else run
    if found == run:
        return run, ""
    return found, (
        f"precision: {found.precision}, since a Tenstorrent card has no {run.precision} "
        "(--set precision=… names another)"
    )
