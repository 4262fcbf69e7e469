"""The memory of a real training step, without doing its arithmetic.

Model, update and autograd are the real ones; tensors are fake: they have shapes and storages but
no data, on the CPU device. Every live storage counts once, from the moment an operation makes it.
It takes a few seconds, and next to no memory, for a model of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from engine.backends.torch_backend import keep_compiled_code
from engine.cost.memory import attention_in_fp32
from engine.cost.tape import UPDATE
from engine.models.decoder import Decoder
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.memory_meter import LiveStorages
from engine.training.phase_marks import phases_told
from engine.training.update import Batch, Learner, set_up


@dataclass(frozen=True)
class Trace:
    """Most bytes alive in each phase, in the order of the run; names as in engine.cost.memory."""

    phases: dict[str, int]

    @property
    def peak_bytes(self) -> int:
        """The fullest moment of all."""
        return max(self.phases.values())

    @property
    def peak_phase(self) -> str:
        """When that is."""
        return max(self.phases, key=lambda phase: self.phases[phase])


def traced_step(spec: ModelSpec, run: RunSpec) -> Trace:
    """The second update, which has the optimizer's state already."""
    with fake_tensors():
        model, learner = _learner(spec, run)
        _update(learner, spec, run, lambda _: None)
        live = LiveStorages()
        live.add(standing(learner))
        live.peaks.clear()

        def tell(phase: str) -> None:
            live.phase = phase

        with live, phases_told(model, tell):
            _update(learner, spec, run, tell)
        return Trace(live.peaks)


def standing(learner: Learner) -> Iterable[torch.Tensor]:
    """What is there between two updates: weights, their fp32 copies, the optimizer's state."""
    yield from learner.model.parameters()
    yield from learner.masters.weights.values()
    for state in learner.optimizer.state.values():
        yield from state.values()
    yield from learner.optimizer.tables


def fake_tensors() -> AbstractContextManager[Any]:
    """Inside, every tensor that is made is fake."""
    keep_compiled_code()  # torch's compiler comes along, and makes its folder at once
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


def autocast_of(run: RunSpec) -> Callable[[], AbstractContextManager[Any]]:
    """What the forward pass runs in."""
    if run.precision == "bf16-mixed":
        return partial(torch.autocast, "cpu", dtype=torch.bfloat16)
    return nullcontext


def _learner(spec: ModelSpec, run: RunSpec) -> tuple[Decoder, Learner]:
    with _default_type(torch.bfloat16 if run.precision == "bf16" else torch.float32):
        model = Decoder(spec)
    set_up(model, run, in_fp32=attention_in_fp32(spec, run))
    return model, Learner(model, run, autocast_of(run))


@contextmanager
def _default_type(dtype: torch.dtype) -> Any:
    """Fake parameters cannot be converted: they have to be made in their type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _update(learner: Learner, spec: ModelSpec, run: RunSpec, tell: Callable[[str], None]) -> None:
    batches = (
        _batch(run.batch_size, run.sequence_length(spec)) for _ in range(run.accumulation_steps)
    )
    learner.gradients(batches, run.accumulation_steps)
    tell(UPDATE)
    learner.clip()
    learner.apply(run.learning_rate)


def _batch(rows: int, tokens: int) -> Batch:
    shape = (rows, tokens)
    return torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
