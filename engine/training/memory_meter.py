"""How much memory training really takes.

CUDA: the allocator's peak of live blocks (``max_memory_allocated``), all steps so far.
MPS: the driver's memory, the largest value seen after a step.
CPU: the peak of live tensor storages over the first validation and the first two steps, the second
of which has the optimizer's state already. Every operation's results are looked at as they are made
(TorchDispatchMode) and each storage counts once until it is freed. It is the quantity that the
CUDA allocator counts, without the interpreter, libraries and fragmentation that resident memory
would add; scratch memory inside one kernel is not seen. Later ones do the same work in the same
memory, so the meter stops there and costs nothing more. Samples are not measured.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

_COUNTED_STEPS = 2


class LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, counts bytes of live storages: ``current_bytes``, ``peak_bytes``.

    ``phase`` is the name of what is going on; whoever knows it sets it. ``peaks`` has the most
    bytes that were alive when something was allocated in each phase, in their order.

    Where two gradients meet, autograd adds to the first in place, unless that is a view; while a
    dispatch mode looks on, it always makes a third tensor. That moment is left out where it never
    comes when nobody looks.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.current_bytes = 0
        self.peak_bytes = 0
        self.phase = ""
        self.peaks: dict[str, int] = {}
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch asks: True would load its compiler (two seconds) to keep it out of here.

        Nothing compiled ever runs inside, so there is nothing to keep out.
        """
        return False

    def add(self, tensors: Iterable[torch.Tensor]) -> None:
        """Count tensors that exist already: weights, optimizer state, batches."""
        for tensor in tensors:
            self._count(tensor)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        replaces = _sums_gradients(func) and not args[0]._is_view()
        for leaf in tree_iter(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf, replaces=replaces)
        return result

    def _count(self, tensor: torch.Tensor, *, replaces: bool = False) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def freed(_: object) -> None:
            del self._known[key]
            self.current_bytes -= size

        self._known[key] = weakref.ref(storage, freed)
        self.current_bytes += size
        if replaces:
            return
        self.peak_bytes = max(self.peak_bytes, self.current_bytes)
        self.peaks[self.phase] = max(self.peaks.get(self.phase, 0), self.current_bytes)


def _sums_gradients(func: object) -> bool:
    """Whether it is autograd's engine that calls ``func``, to add two gradients."""
    going_back = torch._C._current_graph_task_id() != -1 and not torch.is_grad_enabled()
    return going_back and func is torch.ops.aten.add.Tensor


class MemoryMeter:
    """The peak so far, as the device tells it; None where no step has been measured yet."""

    def __init__(self, device: torch.device, earlier_peak: int | None = None) -> None:
        self._device = device
        self._steps, self._of_validation = 0, 0
        self._peak = earlier_peak
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def around_step(
        self, live: Callable[[], Iterable[torch.Tensor]]
    ) -> AbstractContextManager[Any]:
        """What a step runs in. ``live`` lists the tensors that exist before it begins."""
        if not self.measuring():
            return nullcontext()
        self._storages = LiveStorages()
        self._storages.add(live())
        return self._storages

    def around_validation(
        self, live: Callable[[], Iterable[torch.Tensor]]
    ) -> AbstractContextManager[Any]:
        """What a validation runs in: on the CPU the first is looked at, later ones are like it."""
        if self._device.type != "cpu" or self._of_validation:
            return nullcontext()
        self._storages = LiveStorages()
        self._storages.add(live())
        return self._storages

    def validation_done(self) -> None:
        """Take the validation that was just run into account."""
        if self._device.type == "cpu" and not self._of_validation:
            self._of_validation = self._storages.peak_bytes
            del self._storages
        self._ask_mps()

    def measuring(self) -> bool:
        """Whether the next step is looked at operation by operation, which compiled code hides."""
        return self._device.type == "cpu" and self._steps < _COUNTED_STEPS

    def step_done(self) -> None:
        """Take the step that was just run into account."""
        if self.measuring():
            self._peak = max(self._peak or 0, self._storages.peak_bytes)
            self._steps += 1
            del self._storages
        self._ask_mps()

    def _ask_mps(self) -> None:
        if self._device.type == "mps":
            self._peak = max(self._peak or 0, torch.mps.driver_allocated_memory())

    @property
    def peak_bytes(self) -> int | None:
        """The peak so far."""
        if self._device.type == "cuda":
            return max(self._peak or 0, int(torch.cuda.max_memory_allocated(self._device)))
        return None if self._peak is None else max(self._peak, self._of_validation)
