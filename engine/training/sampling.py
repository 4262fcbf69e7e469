"""Samples written by a torch model during its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.backends.torch_backend import TorchBackend
from engine.data.tokenizers import Tokenizer
from engine.events import Sample
from engine.models.decoder import Decoder
from engine.models.generation import stream
from engine.run_spec import RunSpec
from engine.training.prompts import sample_seed
from engine.training.sample_writer import SampleWriter


class Sampler(SampleWriter):
    """Writes samples without a trace in the random numbers of training."""

    def __init__(
        self,
        model: Decoder,
        tokenizer: Tokenizer,
        run: RunSpec,
        backend: TorchBackend,
        corpus_prompts: tuple[str, ...],
    ) -> None:
        super().__init__(tokenizer, run, corpus_prompts)
        self._model, self._backend = model, backend

    def write(
        self,
        step: int,
        prompt: str,
        *,
        cancelled: Callable[[], bool],
        limit_s: float,
        requested: bool = False,
    ) -> Sample:
        """As every SampleWriter does, in the precision of the run."""
        with self._backend.random_state_kept(), self._backend.autocast():
            return super().write(
                step, prompt, cancelled=cancelled, limit_s=limit_s, requested=requested
            )

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
