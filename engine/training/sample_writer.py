"""Texts that the model writes during a run, so that one can watch noise turn into language.

Needs no torch: those who know the model (engine.training.sampling, engine.backends.card.sampling)
draw the tokens.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from engine.cost.passes import MAX_PROMPT_CHARACTERS
from engine.data.tokenizers import Tokenizer
from engine.events import Sample
from engine.run_spec import RunSpec
from engine.training.prompts import sample_prompts


class SampleWriter(ABC):
    """Writes a run's samples; ``corpus_prompts`` are used where the run names none.

    Each has random numbers of its own: the same weights write the same text at the same step.
    """

    def __init__(self, tokenizer: Tokenizer, run: RunSpec, corpus_prompts: tuple[str, ...]) -> None:
        self._tokenizer, self._run, self._corpus_prompts = tokenizer, run, corpus_prompts

    @abstractmethod
    def _tokens(self, step: int, prompt: str, ids: list[int]) -> Iterator[int]:
        """The tokens that continue ``ids``, ``sample_tokens`` of them, one by one."""

    def prompts(self, step: int) -> tuple[str, ...]:
        """What the samples after ``step`` updates begin with."""
        return sample_prompts(self._run, self._corpus_prompts, step)

    def write(
        self,
        step: int,
        prompt: str,
        *,
        cancelled: Callable[[], bool],
        limit_s: float,
        requested: bool = False,
    ) -> Sample:
        """One sample of ``sample_tokens`` tokens; shorter when cancelled or after ``limit_s``.

        Characters of the prompt that the tokenizer does not know are left out.
        """
        began = time.perf_counter()
        prompt = prompt[:MAX_PROMPT_CHARACTERS]
        ids, _ = self._tokenizer.encode_prompt(prompt)
        decoder, written, parts = self._tokenizer.decode_stream(), 0, []
        for token in self._tokens(step, prompt, ids.tolist()):
            parts.append(decoder.push(token))
            written += 1
            if cancelled() or time.perf_counter() - began > limit_s:
                break
        parts.append(decoder.finish())
        elapsed = time.perf_counter() - began
        return Sample(step, prompt, "".join(parts), written, elapsed, requested)
