"""The process that a run lives in: ``python -m engine.worker RUN_DIR``.

It goes on from the newest checkpoint, or starts from the beginning where there is none, and
trains with torch; engine.worker_process says what else a worker does. Cards have a worker of their
own (engine.backends.tenstorrent.worker), which engine.launch starts in this one's place.
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
