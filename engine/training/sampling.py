"""Texts that the model writes during a run, so that one can watch noise turn into language."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from engine.backends.torch_backend import TorchBackend
from engine.cost.passes import MAX_PROMPT_CHARACTERS
from engine.data.tokenizers import Tokenizer
from engine.events import Sample
from engine.models.decoder import Decoder
from engine.models.generation import stream
from engine.run_spec import RunSpec
from engine.training.prompts import sample_prompts, sample_seed


class Sampler:
    """Writes samples without a trace in the random numbers of training."""

    def __init__(
        self,
        model: Decoder,
        tokenizer: Tokenizer,
        run: RunSpec,
        backend: TorchBackend,
        corpus_prompts: tuple[str, ...],
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._run, self._backend = run, backend
        self._corpus_prompts = corpus_prompts

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
        with self._backend.random_state_kept(), self._backend.autocast():
            for token in self._tokens(step, prompt, ids.tolist()):
                parts.append(decoder.push(token))
                written += 1
                if cancelled() or time.perf_counter() - began > limit_s:
                    break
        parts.append(decoder.finish())
        elapsed = time.perf_counter() - began
        return Sample(step, prompt, "".join(parts), written, elapsed, requested)

    def _tokens(self, step: int, prompt: str, ids: list[int]) -> Iterator[int]:
        for written in stream(
            self._model,
            ids,
            max_new_tokens=self._run.sample_tokens,
            temperature=self._run.temperature,
            top_k=self._run.top_k,
            seed=sample_seed(self._run.seed, step, prompt),
            allowed=min(self._tokenizer.vocab_size, self._model.spec.vocab_size),
            alternatives=1,
        ):
            yield written.token
