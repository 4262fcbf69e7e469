"""Whether a run's text is another one where another Python trains. Neither torch nor numpy."""

from __future__ import annotations

from engine.data.catalogue import catalogue
from engine.parameter import SpecError


def text_problem(corpus: str, before: str, now: str) -> SpecError | None:
    """Why a run that learned ``corpus`` under Python ``before`` cannot go on under ``now``.

    Only the text that is the source of the Python that trains is another one elsewhere. Versions
    that are not known (empty) are no reason.
    """
    own = any(entry.name == corpus and entry.download is None for entry in catalogue())
    if not own or not before or not now or before == now:
        return None
    return SpecError(
        "corpus",
        f"{corpus} is the text of the Python that trains: this run began with that of {before}, "
        f"and this is {now}. Go on where that Python trains, or start a new run with another "
        "text, which can move between devices",
    )
