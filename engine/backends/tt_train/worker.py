"""The worker of tt-train: ``python -m engine.backends.tt_train.worker RUN_DIR``.

It trains by the vendor's own models on all chips of a card, under a Python that has tt-train's ttml
(docs/tenstorrent.md) and need not have torch; engine.launch starts it for runs on a card whose
``card_backend`` is tt-train. What else a worker does stands in engine.worker_process.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from engine.backends.card.session import run_card_session
from engine.backends.tt_train.model import open_tt_train
from engine.events import Failed, Finished
from engine.run_directory import RunDirectory
from engine.training.control import Control
from engine.training.segments import Resumption
from engine.worker_process import Session, run_worker


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one segment; return the exit status."""
    return run_worker(arguments, "engine.backends.tt_train.worker", _session)


def _session() -> Session:
    def session(
        directory: RunDirectory, resumption: Resumption, control: Control
    ) -> Finished | Failed:
        return run_card_session(directory, resumption, control, open_tt_train)

    return session


if __name__ == "__main__":
    sys.exit(main())
