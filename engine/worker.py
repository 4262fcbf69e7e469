"""The process that a run lives in: ``python -m engine.worker RUN_DIR``.

It goes on from the newest checkpoint, or starts from the beginning where there is none, and
trains with torch; engine.worker_process says what else a worker does. tt-train's is started as
``python -m engine.backends.tt_train.worker RUN_DIR`` instead, under a Python that has ttml.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from engine.worker_process import Session, run_worker


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one segment; return the exit status."""
    return run_worker(arguments, "engine.worker", _torch_session)


def _torch_session() -> Session:
    from engine.training.session import run_session

    return run_session


if __name__ == "__main__":
    sys.exit(main())
