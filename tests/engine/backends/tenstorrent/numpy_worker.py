"""The cards' own worker with numpy where a card's Python has ttnn, for tests of all around it.

Run as a script: ``python numpy_worker.py KIND MODULE RUN_DIR …``. KIND says how the card computes:
rounded (as a card does), zeros (as ttnn's mock device does), dies (the driver takes the process
with it when the card is opened), or stuck (the driver does not answer).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from engine.backends.tenstorrent import worker
from engine.backends.tenstorrent.model import open_model
from engine.backends.tenstorrent.numpy_kernels import NumpyKernels, RoundedOps
from engine.card_graph.ops import Ops

KINDS = ("rounded", "zeros", "dies", "stuck")


def command(kind: str) -> str:
    """The shell command that starts this file in a worker's place."""
    assert kind in KINDS
    return f'"{sys.executable}" "{__file__}" {kind}'


class _Zeros(NumpyKernels):
    def download(self, data: Any) -> Any:
        return np.zeros_like(data)


@contextmanager
def opened(kind: str, number: int) -> Iterator[Ops]:
    """A card of this kind."""
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGABRT)
    while kind == "stuck":
        time.sleep(1)
    yield Ops(_Zeros(), banks=12) if kind == "zeros" else RoundedOps(banks=12)


if __name__ == "__main__":
    sys.modules["torch"] = None  # type: ignore[assignment]  # a card's Python has none
    kind, module, *arguments = sys.argv[1:]
    assert module == worker.__name__
    sys.exit(worker.main(arguments, partial(open_model, opening=partial(opened, kind))))
