"""What ``train`` and ``resume`` ask before a run starts on a Tenstorrent card."""

from __future__ import annotations

from engine.cost.card_fit import card_problems
from engine.devices.preflight import Preflight, require_ready
from engine.run_spec import RunSpec
from engine.spec import ModelSpec


def ready_card(model: ModelSpec, run: RunSpec) -> Preflight | None:
    """The checklist of the run's card, where it can train this design; None: it is no card.

    Raises SpecError for what cards cannot train or hold, CardNotReadyError with the checklist
    where something is missing. Takes seconds for a card, nothing for other devices.
    """
    report = require_ready(model, run)
    if report is not None:
        for problem in card_problems(model, run):
            raise problem
    return report
