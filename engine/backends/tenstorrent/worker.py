"""The worker of Tenstorrent cards: ``python -m engine.backends.tenstorrent.worker RUN_DIR``.

It trains by ttnn's operations, under a Python that has ttnn and need not have torch; engine.launch
starts it for every run on a card whose ``card_backend`` is ttnn. What else a worker does stands in
engine.worker_process.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from engine.backends.card.model import CardFactory
from engine.backends.card.session import run_card_session
from engine.backends.tenstorrent.model import open_model
from engine.events import Failed, Finished
from engine.run_directory import RunDirectory
from engine.training.control import Control
from engine.training.segments import Resumption
from engine.worker_process import Session, run_worker


def main(arguments: Sequence[str] | None = None, factory: CardFactory = open_model) -> int:
    """Run one segment on the card that ``factory`` opens; return the exit status."""

    def session(
        directory: RunDirectory, resumption: Resumption, control: Control
    ) -> Finished | Failed:
        return run_card_session(directory, resumption, control, factory)

    def load() -> Session:
        return session

    return run_worker(arguments, "engine.backends.tenstorrent.worker", load)


if __name__ == "__main__":
    sys.exit(main())
