"""The training loop of cards: the order and the events of engine.training.loop, without torch.

At each step k (updates done so far): validation, samples, checkpoint, then requests of a person,
then update k + 1. What is due at k and was done already stands in the progress, so a resumed run
goes on in the very place where the saved one was. A test runs both loops on one recipe and
compares what they record.
"""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.backends.card.checkpoint import write_card_checkpoint
from engine.backends.card.model import CardModel
from engine.backends.card.sampling import CardSampler
from engine.data.dataset import BatchSource
from engine.events import Finished, Paused, Resumed, Saved, Step, Validation, Warned
from engine.run_directory import Request, RunDirectory
from engine.run_spec import RunSpec
from engine.schedule import learning_rate
from engine.spec import ModelSpec
from engine.training.checkpoint_folder import prune
from engine.training.control import Control
from engine.training.failures import DivergedError
from engine.training.progress import CheckpointError, Progress
from engine.training.recorder import Recorder

Reason = Literal["completed", "stopped", "early-stopping"]
# Samples take at most this part of the time that training took, but are let go on so long.
_SAMPLE_SHARE, _SAMPLE_LEAST_S = 0.1, 2.0
_REQUESTED_SAMPLE_S = 60.0
# The usual time of a step is told by the last so many; the first ones of a segment are left out,
# since kernels are compiled in them.
_RECENT_STEPS, _UNUSUAL_STEPS, _LEAST_STEPS = 200, 2, 3


def step_seed(seed: int, step: int) -> int:
    """31 bits for all that is random in the update that follows after ``step`` earlier ones."""
    digest = hashlib.blake2b(f"{seed}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 33


@dataclass(frozen=True)
class CardParts:
    """Everything that a run needs, ready (engine.backends.card.session)."""

    directory: RunDirectory
    spec: ModelSpec
    run: RunSpec
    model: CardModel
    source: BatchSource
    sampler: CardSampler
    versions: Mapping[str, str]


class CardTrainer:
    """Runs one segment of a run, from ``progress`` to its end."""

    def __init__(
        self, parts: CardParts, recorder: Recorder, control: Control, progress: Progress
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

    def run(self) -> Finished:
        """Train until the last step, a stop, or the end of patience.

        Raises DivergedError, CheckpointError where the last checkpoint cannot be written, and
        whatever the model raises.
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
        if self._saved_step != self.progress.step and self.progress.step > 0:
            self._save()
        return Finished(
            self.progress.step, reason, self.progress.best_validation_loss,
            self.progress.best_step, self._measured(),
        )  # fmt: skip

    def _measured(self) -> dict[str, float]:
        found: dict[str, float] = {}
        peak = self.parts.model.peak_bytes()
        if peak is not None:
            found["peak_bytes"] = float(peak)
        if len(self._recent_s) >= _LEAST_STEPS:
            found["step_s"] = statistics.median(self._recent_s)
        return found

    # One update

    def _step(self) -> None:
        parts, step = self.parts, self.progress.step
        began = time.perf_counter()
        rate = learning_rate(parts.run, step)
        batches = [
            parts.source.training_batch(step, micro)
            for micro in range(parts.run.accumulation_steps)
        ]
        result = parts.model.step(batches, rate, step_seed(parts.run.seed, step))
        if not (math.isfinite(result.loss) and math.isfinite(result.grad_norm)):
            raise DivergedError(step + 1, result.loss, result.grad_norm)
        self.progress = self.progress.replace(
            step=step + 1, tokens=self.progress.tokens + self._tokens_per_step
        )
        self._log(rate, result.loss, result.grad_norm, time.perf_counter() - began)

    def _log(self, rate: float, loss: float, grad_norm: float, seconds: float) -> None:
        self._training_s += seconds
        self._unlogged_s.append(seconds)
        if self._unusual:
            self._unusual -= 1
        else:
            self._recent_s.append(seconds)
        run, step = self.parts.run, self.progress.step
        if step % run.log_every and step not in (1, run.steps):
            return
        step_s = sum(self._unlogged_s) / len(self._unlogged_s)
        self._unlogged_s.clear()
        peak = self.parts.model.peak_bytes()
        self.progress = self.progress.replace(memory_bytes=peak)
        self._record(
            Step(
                step, self.progress.tokens, loss, rate, grad_norm, step_s,
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

    def _validation_loss(self) -> tuple[float, int] | None:
        """Mean loss and number of tokens, each token weighing the same; None if cancelled."""
        total, tokens = 0.0, 0
        for inputs_BT, targets_BT in self.parts.source.validation_batches(
            self.parts.run.validation_tokens
        ):
            if self._control.stopping():
                return None
            total += self.parts.model.validate(inputs_BT, targets_BT) * targets_BT.size
            tokens += targets_BT.size
        return total / tokens, tokens

    def _sample(self) -> None:
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
        parts = self.parts
        # Torch's generators are of no use here: whoever goes on with torch starts its own.
        progress = self.progress.replace(random_states={})
        if progress.validated_step != progress.step:
            progress = progress.replace(validation_loss=None)
        path = write_card_checkpoint(
            parts.directory, parts.model, progress, parts.run, parts.versions
        )
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
