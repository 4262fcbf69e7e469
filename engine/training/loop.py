"""The training loop: one step after another, and what is due between them.

Order at each step k (updates done so far): validation, samples, checkpoint, then requests of a
person, then update k + 1. What is due at k and was done already stands in the progress, so a
resumed run goes on in the very place where the saved one was.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from engine.backends.torch_backend import TorchBackend
from engine.data.dataset import BatchSource
from engine.events import (
    Finished,
    Paused,
    Preparing,
    Resumed,
    Saved,
    Step,
    Validation,
    Warned,
)
from engine.models.decoder import Decoder
from engine.run_directory import Request, RunDirectory
from engine.run_spec import RunSpec
from engine.schedule import learning_rate
from engine.spec import ModelSpec
from engine.training.checkpoint import prune, write_checkpoint
from engine.training.compilation import compile_learner
from engine.training.control import Control
from engine.training.failures import DivergedError
from engine.training.memory_meter import MemoryMeter
from engine.training.progress import CheckpointError, Progress
from engine.training.read_out import Reading, ReadOut
from engine.training.recorder import Recorder
from engine.training.sampling import Sampler
from engine.training.update import Batch, Learner
from engine.training.validation import validation_loss, validation_sequences

Reason = Literal["completed", "stopped", "early-stopping"]
# Samples take at most this part of the time that training took, but are let go on so long.
_SAMPLE_SHARE, _SAMPLE_LEAST_S = 0.1, 2.0
_REQUESTED_SAMPLE_S = 60.0
# The usual time of a step is told by the last so many, if there are at least so many; the first
# of a segment are left out, since memory is measured and caches are filled in them.
_RECENT_STEPS, _UNUSUAL_STEPS, _LEAST_STEPS = 200, 2, 3


@dataclass(frozen=True)
class Parts:
    """Everything that a run needs, ready (engine.training.preparation)."""

    directory: RunDirectory
    spec: ModelSpec
    run: RunSpec
    backend: TorchBackend
    model: Decoder
    learner: Learner
    source: BatchSource
    sampler: Sampler
    versions: Mapping[str, str]


class Trainer:
    """Runs one segment of a run, from ``progress`` to its end."""

    def __init__(
        self, parts: Parts, recorder: Recorder, control: Control, progress: Progress
    ) -> None:
        self.parts, self.progress = parts, progress
        self._record, self._control = recorder, control
        self._tokens_per_step = parts.run.tokens_per_step(parts.spec)
        self._read_out = ReadOut(parts.backend.device)
        self._meter = MemoryMeter(parts.backend.device, progress.memory_bytes)
        self._saved_step = progress.step if progress.step else None
        self._new_best = False
        self._unlogged_s: list[float] = []
        self._training_s = 0.0
        self._recent_s: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._unusual = _UNUSUAL_STEPS

    def median_step_s(self, least: int = _LEAST_STEPS) -> float | None:
        """The usual time of one update in this segment; None before ``least`` of them."""
        return statistics.median(self._recent_s) if len(self._recent_s) >= least else None

    def run(self) -> Finished:
        """Train until the last step, a stop, or the end of patience.

        Raises DivergedError, CheckpointError where the last checkpoint cannot be written, and
        whatever torch raises when memory runs out.
        """
        while True:
            self._records_due()
            reason = self._reason_to_end()
            if reason is not None:
                return self._finish(reason)
            for request in self._control.requests():
                self._obey(request)
            if not self._control.stopping():
                self._step()

    def _reason_to_end(self) -> Reason | None:
        run, progress = self.parts.run, self.progress
        if progress.step >= run.steps:
            return "completed"
        if self._control.stopping():
            return "stopped"
        if run.patience and progress.validations_since_best >= run.patience:
            return "early-stopping"
        return None

    def _finish(self, reason: Reason) -> Finished:
        self._flush()
        if self._saved_step != self.progress.step and self.progress.step > 0:
            self._save()
        return Finished(
            self.progress.step, reason, self.progress.best_validation_loss,
            self.progress.best_step, self._measured(),
        )  # fmt: skip

    def _measured(self) -> dict[str, float]:
        """What Started's predictions foretold, as far as this segment could measure it."""
        found = {"peak_bytes": self._meter.peak_bytes, "step_s": self.median_step_s()}
        return {name: float(value) for name, value in found.items() if value is not None}

    # One update

    def _step(self) -> None:
        parts, step = self.parts, self.progress.step
        if self._compile_due(step):
            self._compile()
        began = time.perf_counter()
        rate = learning_rate(parts.run, step)
        with self._meter.around_step(self._live_tensors):
            loss = parts.learner.gradients(self._batches(step), parts.run.accumulation_steps)
            norm = parts.learner.clip()
            if parts.backend.device.type == "cpu":  # asking costs nothing here
                _check_finite(step + 1, float(loss), float(norm))
            parts.learner.apply(rate)
        self._meter.step_done()
        self.progress = self.progress.replace(
            step=step + 1, tokens=self.progress.tokens + self._tokens_per_step
        )
        for reading in self._read_out.put(step + 1, rate, loss, norm, began):
            self._log(reading)

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

    def _log(self, reading: Reading) -> None:
        _check_finite(reading.step, reading.loss, reading.grad_norm)
        self._training_s += reading.step_s
        self._unlogged_s.append(reading.step_s)
        if self._unusual:
            self._unusual -= 1
        else:
            self._recent_s.append(reading.step_s)
        run = self.parts.run
        if reading.step % run.log_every and reading.step not in (1, run.steps):
            return
        step_s = sum(self._unlogged_s) / len(self._unlogged_s)
        self._unlogged_s.clear()
        tokens = self.progress.tokens - (self.progress.step - reading.step) * self._tokens_per_step
        peak = self._meter.peak_bytes
        self.progress = self.progress.replace(memory_bytes=peak)
        self._record(
            Step(
                reading.step, tokens, reading.loss, reading.rate, reading.grad_norm, step_s,
                self._tokens_per_step / step_s, peak,
            )
        )  # fmt: skip

    def _flush(self) -> None:
        for reading in self._read_out.flush():
            self._log(reading)

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

    # What is due between updates

    def _records_due(self) -> None:
        step, run = self.progress.step, self.parts.run
        last = step >= run.steps
        due = last or step == 0
        if self._every(run.validate_every, due and (last or run.validate_every > 0)):
            self._validate_once()
        if self._every(run.sample_every, due) and self.progress.sampled_step != step:
            self._sample()
        if self._every(run.save_every, last) or self._new_best:
            self._save_once()

    def _every(self, interval: int, otherwise: bool) -> bool:
        step = self.progress.step
        return otherwise or bool(interval and step and step % interval == 0)

    def _validate_once(self) -> None:
        if self.progress.validated_step != self.progress.step:
            self._validate(counts=True)

    def _validate(self, *, counts: bool) -> None:
        """Measure and record; ``counts`` towards patience (a requested one does not)."""
        self._flush()
        parts, progress = self.parts, self.progress
        sequences = validation_sequences(parts.source, parts.run, parts.spec)
        batches = (
            to_device(inputs, targets, parts.backend.device) for inputs, targets in sequences
        )
        with self._meter.around_validation(self._live_tensors):
            measured = validation_loss(parts.model, batches, parts.backend, self._control.stopping)
        if measured is None:
            return
        self._meter.validation_done()
        loss, tokens = measured
        if not math.isfinite(loss):
            raise DivergedError(progress.step, loss, 0.0)
        earlier = progress.best_validation_loss
        best = earlier is None or loss < earlier
        since = 0 if best else progress.validations_since_best + (1 if counts else 0)
        self.progress = progress.replace(
            validation_loss=loss, validated_step=progress.step, validations_since_best=since
        )
        if best:
            self.progress = self.progress.replace(
                best_validation_loss=loss, best_step=progress.step
            )
            if progress.step > 0 and parts.run.keep_best > 0:
                self._new_best, self._saved_step = True, None
        self._record(Validation(progress.step, progress.tokens, loss, tokens, best))

    def _sample(self) -> None:
        self._flush()
        sampler, step = self.parts.sampler, self.progress.step
        limit_s = max(_SAMPLE_LEAST_S, _SAMPLE_SHARE * self._training_s)
        prompts = sampler.prompts(step)
        for prompt in prompts:
            if self._control.stopping():
                return
            self._record(
                sampler.write(
                    step, prompt, cancelled=self._control.stopping, limit_s=limit_s / len(prompts)
                )
            )
        self._training_s = 0.0
        self.progress = self.progress.replace(sampled_step=step)

    # Checkpoints

    def _save_once(self) -> None:
        if self._saved_step == self.progress.step:
            return
        try:
            self._save()
        except CheckpointError as error:
            if self.progress.step >= self.parts.run.steps:
                raise
            self._saved_step = self.progress.step  # not again at this step
            self._record(
                Warned(
                    f"{error}. The run goes on and earlier checkpoints are kept; free some disk "
                    "space before the next one is due",
                    self.progress.step,
                )
            )

    def _save(self) -> None:
        """Write a checkpoint of now; raise CheckpointError."""
        self._flush()
        parts = self.parts
        states = parts.backend.random_state()
        progress = self.progress.replace(random_states=states)
        if progress.validated_step != progress.step:
            progress = progress.replace(validation_loss=None)
        path = write_checkpoint(parts.directory, parts.learner, progress, parts.run, parts.versions)
        self._saved_step, self._new_best = progress.step, False
        best = progress.best_step == progress.step
        relative = path.relative_to(parts.directory.path).as_posix()
        self._record(Saved(progress.step, relative, best, progress.validation_loss), durable=True)
        try:
            prune(parts.directory, progress.step, parts.run.keep_best)
        except OSError as error:
            self._record(Warned(f"an old checkpoint cannot be removed: {error}", progress.step))

    # A person's requests

    def _obey(self, request: Request) -> None:
        if request.command == "pause":
            self._pause()
        elif request.command == "save":
            self._saved_step = None
            self._save_once()
        elif request.command == "sample":
            self._flush()
            prompts = (request.prompt,) if request.prompt else self.parts.sampler.prompts(0)[:1]
            for prompt in prompts:
                self._record(
                    self.parts.sampler.write(
                        self.progress.step, prompt, cancelled=self._control.stopping,
                        limit_s=_REQUESTED_SAMPLE_S, requested=True,
                    )
                )  # fmt: skip
        elif request.command == "validate":
            self._validate(counts=False)
        elif request.command != "resume":
            self._record(Warned(f"unknown request {request.command[:40]!r}", self.progress.step))

    def _pause(self) -> None:
        self._save_once()
        self._record(Paused(self.progress.step), durable=True)
        while not self._control.stopping():
            for request in self._control.requests():
                if request.command == "resume":
                    self._record(Resumed(self.progress.step))
                    return
                if request.command != "pause":
                    self._obey(request)
            self._control.wait()


def _check_finite(step: int, loss: float, grad_norm: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise DivergedError(step, loss, grad_norm)


def to_device(inputs: object, targets: object, device: torch.device) -> Batch:
    """Two integer arrays as int64 tensors on ``device``, copied in the background on CUDA."""
    tensors = []
    for array in (inputs, targets):
        tensor = torch.as_tensor(array).long()
        if device.type == "cuda":
            tensor = tensor.pin_memory().to(device, non_blocking=True)
        tensors.append(tensor.to(device))
    return tensors[0], tensors[1]
