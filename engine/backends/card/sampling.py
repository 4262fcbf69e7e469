"""Samples written by a model that gives its scores as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.card.model import CardModel
from engine.data.tokenizers import Tokenizer
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.prompts import sample_seed
from engine.training.sample_writer import SampleWriter


class BrokenScoresError(ValueError):
    """The model's scores are no numbers; the message says what to do."""


def next_token_probabilities(
    logits_V: npt.NDArray[Any], temperature: float, top_k: int, allowed: int
) -> npt.NDArray[np.float64]:
    """Probabilities of the ``allowed`` first tokens, fp64: temperature, then top-k.

    At temperature 0 those at temperature 1, of which the caller takes the largest. Raises
    BrokenScoresError where a score is NaN or infinite.
    """
    scores = np.asarray(logits_V, dtype=np.float64)[:allowed]
    if not np.isfinite(scores).all():
        raise BrokenScoresError(
            "the model's scores are not finite (NaN): its weights are broken. Use an earlier "
            "checkpoint, and train with a lower learning rate"
        )
    scores = (scores - scores.max()) / (temperature or 1.0)
    if temperature and 0 < top_k < allowed:
        # Of equals at the edge the first are kept, so that never more than top_k are.
        left_out = np.argsort(-scores, kind="stable")[top_k:]
        scores[left_out] = -np.inf
    chances = np.exp(scores)
    probabilities: npt.NDArray[np.float64] = chances / chances.sum()
    return probabilities


class CardSampler(SampleWriter):
    """Writes a run's samples with numpy's random numbers."""

    def __init__(
        self,
        model: CardModel,
        tokenizer: Tokenizer,
        spec: ModelSpec,
        run: RunSpec,
        corpus_prompts: tuple[str, ...],
    ) -> None:
        super().__init__(tokenizer, run, corpus_prompts)
        self._model, self._spec = model, spec
        self._allowed = min(tokenizer.vocab_size, spec.vocab_size)

    def _tokens(self, step: int, prompt: str, ids: list[int]) -> Iterator[int]:
        """Tokens as engine.models.generation crops and draws them, with numpy's numbers."""
        run, context = self._run, self._spec.max_seq_len
        chance = np.random.Generator(np.random.PCG64(sample_seed(run.seed, step, prompt)))
        window = ids[-context:]
        for _ in range(run.sample_tokens):
            if len(window) > context:
                window = window[-max(1, context // 2) :]
            if window:
                probabilities = next_token_probabilities(
                    self._model.next_logits(window), run.temperature, run.top_k, self._allowed
                )
            else:
                probabilities = np.full(self._allowed, 1 / self._allowed)
            if run.temperature == 0 and window:
                token = int(probabilities.argmax())
            else:
                token = int(chance.choice(self._allowed, p=probabilities))
            window.append(token)
            yield token
