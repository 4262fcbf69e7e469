"""A model that really learns and needs no card: which token follows which, with AdamW in numpy.

Of a design's weights it uses the embedding and the head only: scores = embedding[token] · headᵀ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.card.model import Arrays, Batch, StepResult
from engine.backends.card.session import run_card_session
from engine.events import Event, Failed, Finished
from engine.families import decoder as family
from engine.families.weight import expand
from engine.run_directory import RunDirectory
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.recorder import Listener
from engine.training.segments import make_control, open_run

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


class NumpyModel:
    """A CardModel. ``fault`` is raised by the update after that many; ``broken`` spoils its loss.

    ``opened`` holds all that were made, so that a test can ask whether they were closed.
    """

    opened: list[NumpyModel] = []  # noqa: RUF012 - one list for all, on purpose
    fault: tuple[int, Exception] | None = None
    broken: int | None = None

    def __init__(self, spec: ModelSpec, run: RunSpec) -> None:
        assert not spec.tied_embeddings
        self.spec, self.run = spec, run
        self.steps, self.closed = 0, False
        self._weights: Arrays = {}
        self._state: Arrays = {}
        self.opened.append(self)

    device, precision = "n150:0", "bf16-mixed"
    notes = ("this is a double",)
    versions: Mapping[str, str] = {"double": "1"}
    predicted: Mapping[str, float] = {}

    def _logits(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return self._weights[EMBEDDING][inputs] @ self._weights[HEAD].T

    def step(self, batches: Sequence[Batch], rate: float, seed: int) -> StepResult:
        if self.fault is not None and self.steps == self.fault[0]:
            raise self.fault[1]
        gradients = {name: np.zeros_like(self._weights[name]) for name in (EMBEDDING, HEAD)}
        losses = []
        keep = np.random.Generator(np.random.PCG64(seed)).random(self.spec.hidden_dim) > 0.05
        for inputs, targets in batches:
            losses.append(self._add_gradients(inputs, targets, gradients, keep, len(batches)))
        norm = float(np.sqrt(sum(float((g**2).sum()) for g in gradients.values())))
        scale = min(1.0, self.run.grad_clip / (norm + 1e-6)) if self.run.grad_clip else 1.0
        self.steps += 1
        for name, gradient in gradients.items():
            self._update(name, gradient * np.float32(scale), rate)
        loss = float("nan") if self.broken == self.steps else float(np.mean(losses))
        return StepResult(loss, norm)

    def _add_gradients(
        self, inputs: npt.NDArray[Any], targets: npt.NDArray[Any], gradients: Arrays,
        keep: npt.NDArray[np.bool_], parts: int,
    ) -> float:  # fmt: skip
        hidden = self._weights[EMBEDDING][inputs].reshape(-1, self.spec.hidden_dim) * keep
        scores = hidden @ self._weights[HEAD].T
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        at = np.arange(targets.size), targets.reshape(-1)
        loss = -float(np.log(chances[at]).mean())
        chances[at] -= 1
        chances /= targets.size * parts
        gradients[HEAD] += chances.T @ hidden
        np.add.at(gradients[EMBEDDING], inputs.reshape(-1), (chances @ self._weights[HEAD]) * keep)
        return loss

    def _update(self, name: str, gradient: npt.NDArray[np.float32], rate: float) -> None:
        run, weight = self.run, self._weights[name]
        mean, square = self._state[f"exp_avg/{name}"], self._state[f"exp_avg_sq/{name}"]
        mean += (1 - run.beta1) * (gradient - mean)
        square += (1 - run.beta2) * (gradient**2 - square)
        weight *= 1 - rate * run.weight_decay
        spread = np.sqrt(square / (1 - run.beta2**self.steps)) + 1e-8
        weight -= (rate / (1 - run.beta1**self.steps)) * mean / spread

    def validate(self, inputs_BT: npt.NDArray[Any], targets_BT: npt.NDArray[Any]) -> float:
        scores = self._logits(inputs_BT).astype(np.float64)
        scores -= np.log(np.exp(scores).sum(axis=-1, keepdims=True))
        return -float(np.take_along_axis(scores, targets_BT[..., None], axis=-1).mean())

    def next_logits(self, tokens: Sequence[int]) -> npt.NDArray[Any]:
        assert 1 <= len(tokens) <= self.spec.max_seq_len
        return self._logits(np.array(tokens[-1]))

    def weights(self) -> Arrays:
        return {name: array.copy() for name, array in self._weights.items()}

    def optimizer_state(self) -> Arrays:
        return {name: array.copy() for name, array in self._state.items()}

    def optimizer_shapes(self) -> Mapping[str, tuple[int, ...]]:
        weights = tuple(expand(family.weights(self.spec)))
        return {f"{kind}/{name}": shape for kind in ("exp_avg", "exp_avg_sq")
                for name, shape in weights}  # fmt: skip

    def load(self, weights: Arrays, optimizer_state: Arrays, steps: int) -> None:
        self._weights = {name: array.copy() for name, array in weights.items()}
        self._state = {key: array.copy() for key, array in optimizer_state.items()} or {
            f"{kind}/{name}": np.zeros_like(array)
            for name, array in weights.items()
            for kind in ("exp_avg", "exp_avg_sq")
        }
        self.steps = steps

    def peak_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        assert not self.closed
        self.closed = True


def train_card(
    directory: RunDirectory,
    factory: Any = NumpyModel,
    *,
    resume_step: int | None = None,
    steps: int | None = None,
    listener: Listener | None = None,
) -> Finished | Failed:
    """One segment in this process, under the run's lock."""
    lock = directory.lock()
    try:
        resumption = open_run(directory, resume_step=resume_step, steps=steps)
        control = make_control(directory, 0)
        return run_card_session(directory, resumption, control, factory, listener)
    finally:
        lock.release()


def arrays_of(directory: RunDirectory, step: int) -> dict[str, bytes]:
    """Both tensor files of a checkpoint, to the last bit."""
    folder: Path = directory.checkpoint_path(step)
    return {
        name: (folder / name).read_bytes()
        for name in ("model.safetensors", "optimizer.safetensors")
    }


def kinds(events: Sequence[Event]) -> list[str]:
    """The names of events, in order."""
    return [event.name for event in events]
