"""What the loop asks of a model on a card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engine.run_spec import RunSpec
from engine.spec import ModelSpec

# By name, fp32: weights by their published names, optimizer state as "exp_avg/<weight>".
Arrays = dict[str, npt.NDArray[np.float32]]
# Token ids (inputs, targets), both (B, T); the target of a place is the token that follows it.
Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class StepResult:
    """What an update measured: mean loss (nats a token), length of the gradient before the clip."""

    loss: float
    grad_norm: float


class CardModel(Protocol):
    """A model on an open device, with its optimizer.

    Any method may raise what its library raises; a memory that is full is known by its words.
    """

    @property
    def device(self) -> str:
        """The card's full name, n150:0."""

    @property
    def precision(self) -> str:
        """What it really computes in, in the words of RunSpec.precision."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how this run is computed: a warning each."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the libraries that compute."""

    @property
    def predicted(self) -> Mapping[str, float]:
        """Estimates made before the run, as engine.events.Started has them; may be empty."""

    def step(self, batches: Sequence[Batch], rate: float, seed: int) -> StepResult:
        """One update from the mean gradient of ``batches``, with learning rate ``rate``.

        All that is random in it (dropout) follows from ``seed``, so that a resumed run goes on
        as it would have.
        """

    def validate(self, inputs_BT: npt.NDArray[Any], targets_BT: npt.NDArray[Any]) -> float:
        """Mean loss with dropout off, nats a token. Batches have up to the run's batch size."""

    def next_logits(self, tokens: Sequence[int]) -> npt.NDArray[Any]:
        """Scores (V,) of the token that follows 1 to T ``tokens``; dropout off."""

    def weights(self) -> Arrays:
        """All weights, as exact as they are kept."""

    def optimizer_state(self) -> Arrays:
        """What the optimizer remembers of each weight."""

    def optimizer_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of everything in ``optimizer_state``; may be asked before ``load``."""

    def load(self, weights: Arrays, optimizer_state: Arrays, steps: int) -> None:
        """Take these weights and this state of ``steps`` updates; an empty state is a new one."""

    def peak_bytes(self) -> int | None:
        """Most memory in use so far; None where the device does not tell."""

    def close(self) -> None:
        """Give the device back."""


CardFactory = Callable[[ModelSpec, RunSpec], CardModel]
