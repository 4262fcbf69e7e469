"""The order of a run: one update after another, and what is due between them. Needs no torch.

At each step k (updates done so far): validation, samples, checkpoint, then requests of a person,
then update k + 1. What is due at k and was done already stands in the progress, so a resumed run
goes on in the very place where the saved one was. Those who know how an update is made
(engine.training.loop, engine.backends.card.loop) fill in the rest.
"""

from __future__ import annotations

import math
import statistics
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from engine.cost.passes import SAMPLES_AT_LEAST_S, SAMPLES_SHARE
from engine.data.dataset import BatchSource
from engine.events import Finished, Paused, Resumed, Saved, Step, Validation, Warned
from engine.run_directory import Request, RunDirectory
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.checkpoint_folder import prune
from engine.training.control import Control
from engine.training.failures import DivergedError
from engine.training.progress import CheckpointError, Progress
from engine.training.recorder import Recorder
from engine.training.sample_writer import SampleWriter

Reason = Literal["completed", "stopped", "early-stopping"]
_REQUESTED_SAMPLE_S = 60.0
# The usual time of a step is told by the last so many, if there are at least so many; the first
# of a segment are left out: memory is measured, caches are filled and kernels compiled in them.
_RECENT_STEPS, _UNUSUAL_STEPS, _LEAST_STEPS = 200, 2, 3


@dataclass(frozen=True)
class RunParts:
    """What every run needs, ready."""

    directory: RunDirectory
    spec: ModelSpec
    run: RunSpec
    source: BatchSource
    sampler: SampleWriter
    versions: Mapping[str, str]


PartsT = TypeVar("PartsT", bound=RunParts)


@dataclass(frozen=True)
class Reading:
    """What one step measured. ``step_s`` is the time it kept the device busy."""

    step: int
    rate: float
    loss: float
    grad_norm: float
    step_s: float


def check_finite(step: int, loss: float, grad_norm: float) -> None:
    """Raise DivergedError where a number is none."""
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise DivergedError(step, loss, grad_norm)


class RunLoop(ABC, Generic[PartsT]):
    """Runs one segment of a run, from ``progress`` to its end."""

    def __init__(
        self, parts: PartsT, recorder: Recorder, control: Control, progress: Progress
    ) -> None:
        self.parts, self.progress = parts, progress
        self._record, self._control = recorder, control
        self._tokens_per_step = parts.run.tokens_per_step(parts.spec)
        self._saved_step = progress.step if progress.step else None
        self._new_best = False
        self._unlogged_s: list[float] = []
        self._training_s = 0.0
        self._recent_s: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._unusual = _UNUSUAL_STEPS

    # What differs from one device to another

    @abstractmethod
    def _update(self) -> list[Reading]:
        """Make the next update, ``_count_update``, and return the steps that are now known.

        Raises DivergedError before weights are broken, where asking for numbers costs nothing.
        """

    def _pending(self) -> list[Reading]:
        """Steps that are still on their way from the device, waited for."""
        return []

    @abstractmethod
    def _peak_bytes(self) -> int | None:
        """The most memory that was taken so far; None where it cannot be measured."""

    @abstractmethod
    def _validation_loss(self) -> tuple[float, int] | None:
        """Mean loss in nats a token and the number of tokens; None if a stop came between."""

    @abstractmethod
    def _write_checkpoint(self, progress: Progress) -> Path:
        """Write a checkpoint of now and return its folder; raise CheckpointError."""

    # The order

    def run(self) -> Finished:
        """Train until the last step, a stop, or the end of patience.

        Raises DivergedError, CheckpointError where the last checkpoint cannot be written, and
        whatever the device raises, for example when memory runs out.
        """
        while True:
            self._records_due()
            reason = self._reason_to_end()
            if reason is not None:
                return self._finish(reason)
            for request in self._control.requests():
                self._obey(request)
            if not self._control.stopping():
                self._log(self._update())

    def median_step_s(self, least: int = _LEAST_STEPS) -> float | None:
        """The usual time of one update in this segment; None before ``least`` of them."""
        return statistics.median(self._recent_s) if len(self._recent_s) >= least else None

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
        found = {"peak_bytes": self._peak_bytes(), "step_s": self.median_step_s()}
        return {name: float(value) for name, value in found.items() if value is not None}

    def _count_update(self) -> None:
        """Add an update that was made to the progress."""
        progress = self.progress
        self.progress = progress.replace(
            step=progress.step + 1, tokens=progress.tokens + self._tokens_per_step
        )

    def _flush(self) -> None:
        self._log(self._pending())

    def _log(self, readings: list[Reading]) -> None:
        for reading in readings:
            check_finite(reading.step, reading.loss, reading.grad_norm)
            self._training_s += reading.step_s
            self._unlogged_s.append(reading.step_s)
            if self._unusual:
                self._unusual -= 1
            else:
                self._recent_s.append(reading.step_s)
            run = self.parts.run
            if reading.step % run.log_every == 0 or reading.step in (1, run.steps):
                self._record_step(reading)

    def _record_step(self, reading: Reading) -> None:
        step_s = sum(self._unlogged_s) / len(self._unlogged_s)
        self._unlogged_s.clear()
        tokens = self.progress.tokens - (self.progress.step - reading.step) * self._tokens_per_step
        peak = self._peak_bytes()
        self.progress = self.progress.replace(memory_bytes=peak)
        self._record(
            Step(
                reading.step, tokens, reading.loss, reading.rate, reading.grad_norm, step_s,
                self._tokens_per_step / step_s, peak,
            )
        )  # fmt: skip

    # What is due between updates

    def _records_due(self) -> None:
        step, run = self.progress.step, self.parts.run
        last = step >= run.steps
        due = last or step == 0
        measure = self._every(run.validate_every, due and (last or run.validate_every > 0))
        if measure and self.progress.validated_step != step:
            self._validate(counts=True)
        if self._every(run.sample_every, due) and self.progress.sampled_step != step:
            self._sample()
        if self._every(run.save_every, last) or self._new_best:
            self._save_once()

    def _every(self, interval: int, otherwise: bool) -> bool:
        step = self.progress.step
        return otherwise or bool(interval and step and step % interval == 0)

    def _validate(self, *, counts: bool) -> None:
        """Measure and record; ``counts`` towards patience (a requested one does not)."""
        self._flush()
        measured = self._validation_loss()
        if measured is None:
            return
        loss, tokens = measured
        progress = self.progress
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
            if progress.step > 0 and self.parts.run.keep_best > 0:
                self._new_best, self._saved_step = True, None
        self._record(Validation(progress.step, progress.tokens, loss, tokens, best))

    def _sample(self) -> None:
        self._flush()
        sampler, step = self.parts.sampler, self.progress.step
        limit_s = max(SAMPLES_AT_LEAST_S, SAMPLES_SHARE * self._training_s)
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
        parts, progress = self.parts, self.progress
        if progress.validated_step != progress.step:
            progress = progress.replace(validation_loss=None)
        path = self._write_checkpoint(progress)
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
