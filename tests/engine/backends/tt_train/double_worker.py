"""tt-train's own worker with the double where a card's Python has ttml, for tests of all around it.

Run as a script: ``python double_worker.py KIND MODULE RUN_DIR …``. KIND says how the card behaves:
learns (as the double does), or stuck (the driver does not answer).
"""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

from engine.backends.tt_train import worker
from tests.engine.backends.tt_train import recorded_ttml

KINDS = ("learns", "stuck")


def command(kind: str) -> str:
    """The shell command that starts this file in a worker's place."""
    assert kind in KINDS
    return f'"{sys.executable}" "{__file__}" {kind}'


def _no_answer(*_: Any) -> None:
    while True:
        time.sleep(1)


if __name__ == "__main__":
    sys.modules["torch"] = None  # type: ignore[assignment]  # a card's Python has none
    kind, module, *arguments = sys.argv[1:]
    assert module == worker.__name__
    with pytest.MonkeyPatch.context() as patch:
        recorded_ttml.install(patch)
        if kind == "stuck":
            patch.setattr(recorded_ttml.AutoContext, "open_device", _no_answer)
        sys.exit(worker.main(arguments))
