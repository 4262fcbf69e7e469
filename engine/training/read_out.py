"""Brings each step's loss and gradient norm from the device without making it wait.

On CUDA, asking for a number stops the program until the device has done all work queued so far;
asked at every step, the device then idles while the next step is being queued. So the numbers
of a step are copied in the background and read one step later. On the CPU there is nothing to
wait for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from engine.training.run_loop import Reading


@dataclass(frozen=True)
class _Pending:
    step: int
    rate: float
    numbers: torch.Tensor
    ready: torch.cuda.Event | None
    started: float


class ReadOut:
    """A queue of at most ``delay`` steps whose numbers are still on their way."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._delay = 1 if self._cuda else 0
        self._queue: list[_Pending] = []
        self._last_done = 0.0

    def put(
        self, step: int, rate: float, loss: torch.Tensor, norm: torch.Tensor, started: float
    ) -> list[Reading]:
        """Add a step that began at ``started`` (time.perf_counter); return those now known."""
        numbers, ready = torch.stack((loss, norm.to(loss.dtype))), None
        if self._cuda:
            waiting = torch.empty(2, dtype=numbers.dtype, pin_memory=True)
            waiting.copy_(numbers, non_blocking=True)
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record()
            numbers = waiting
        self._queue.append(_Pending(step, rate, numbers, ready, started))
        return self._take(self._delay)

    def flush(self) -> list[Reading]:
        """Wait for all steps that are still on their way."""
        return self._take(0)

    def _take(self, keep: int) -> list[Reading]:
        readings = []
        while len(self._queue) > keep:
            pending = self._queue.pop(0)
            if pending.ready is not None:
                pending.ready.synchronize()
            loss, norm = pending.numbers.tolist()
            done = time.perf_counter()
            step_s = done - max(self._last_done, pending.started)
            self._last_done = done
            readings.append(Reading(pending.step, pending.rate, loss, norm, max(step_s, 1e-9)))
        return readings
