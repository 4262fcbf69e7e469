"""The training loop of torch's devices: how an update is made, measured and written down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.backends.torch_backend import TorchBackend
from engine.events import Preparing, Warned
from engine.models.decoder import Decoder
from engine.schedule import learning_rate
from engine.training.checkpoint import write_checkpoint
from engine.training.compilation import compile_learner
from engine.training.control import Control
from engine.training.memory_meter import MemoryMeter
from engine.training.progress import Progress
from engine.training.read_out import ReadOut
from engine.training.recorder import Recorder
from engine.training.run_loop import Reading, RunLoop, RunParts, check_finite
from engine.training.update import Batch, Learner
from engine.training.validation import validation_loss, validation_sequences


@dataclass(frozen=True)
class Parts(RunParts):
    """Everything that a run with torch needs, ready (engine.training.preparation)."""

    backend: TorchBackend
    model: Decoder
    learner: Learner


class Trainer(RunLoop[Parts]):
    """Runs one segment of a run with torch; the order is RunLoop's."""

    def __init__(
        self, parts: Parts, recorder: Recorder, control: Control, progress: Progress
    ) -> None:
        super().__init__(parts, recorder, control, progress)
        self._read_out = ReadOut(parts.backend.device)
        self._meter = MemoryMeter(parts.backend.device, progress.memory_bytes)

    def _update(self) -> list[Reading]:
        parts, step = self.parts, self.progress.step
        if self._compile_due(step):
            self._compile()
        began = time.perf_counter()
        rate = learning_rate(parts.run, step)
        with self._meter.around_step(self._live_tensors):
            loss = parts.learner.gradients(self._batches(step), parts.run.accumulation_steps)
            norm = parts.learner.clip()
            if parts.backend.device.type == "cpu":  # asking costs nothing here
                check_finite(step + 1, float(loss), float(norm))
            parts.learner.apply(rate)
        self._meter.step_done()
        self._count_update()
        return self._read_out.put(step + 1, rate, loss, norm, began)

    def _pending(self) -> list[Reading]:
        return self._read_out.flush()

    def _peak_bytes(self) -> int | None:
        return self._meter.peak_bytes

    def _batches(self, step: int) -> Iterator[Batch]:
        for micro in range(self.parts.run.accumulation_steps):
            inputs_BT, targets_BT = self.parts.source.training_batch(step, micro)
            yield to_device(inputs_BT, targets_BT, self.parts.backend.device)

    def _live_tensors(self) -> Iterator[torch.Tensor]:
        learner = self.parts.learner
        yield from learner.model.parameters()
        yield from learner.model.buffers()
        yield from learner.masters.weights.values()
        for state in learner.optimizer.state.values():
            yield from state.values()
        yield from learner.optimizer.tables

    def _validation_loss(self) -> tuple[float, int] | None:
        parts = self.parts
        sequences = validation_sequences(parts.source, parts.run, parts.spec)
        batches = (
            to_device(inputs, targets, parts.backend.device) for inputs, targets in sequences
        )
        with self._meter.around_validation(self._live_tensors):
            measured = validation_loss(parts.model, batches, parts.backend, self._control.stopping)
        if measured is not None:
            self._meter.validation_done()
        return measured

    def _write_checkpoint(self, progress: Progress) -> Path:
        parts = self.parts
        progress = progress.replace(random_states=parts.backend.random_state())
        return write_checkpoint(parts.directory, parts.learner, progress, parts.run, parts.versions)

    # Compilation

    def _compile_due(self, step: int) -> bool:
        since = self.progress.compile_from
        learner = self.parts.learner
        return since is not None and step >= since and learner.forward is learner.model

    def _compile(self) -> None:
        step = self.progress.step
        self._flush()
        self._record(Preparing("compiling the model, which takes up to a minute"))
        batch = next(self._batches(step))
        with self.parts.backend.random_state_kept():
            problem = compile_learner(self.parts.learner, batch)
        if problem:
            self.progress = self.progress.replace(compile_from=None)
            self._record(
                Warned(
                    f"torch.compile is not available here, the run goes on without it: {problem}",
                    step,
                )
            )


def to_device(inputs: object, targets: object, device: torch.device) -> Batch:
    """Two integer arrays as int64 tensors on ``device``, copied in the background on CUDA."""
    tensors = []
    for array in (inputs, targets):
        tensor = torch.as_tensor(array).long()
        if device.type == "cuda":
            tensor = tensor.pin_memory().to(device, non_blocking=True)
        tensors.append(tensor.to(device))
    return tensors[0], tensors[1]
