"""Writing: one token after another, each drawn from what the model expects next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.models.cache import KVCache
from engine.models.decoder import Decoder, evaluating
from engine.models.sampling import Sampling, next_token_probabilities
from engine.parameter import SpecError

Stop = Callable[[Sequence[int]], bool]


@dataclass(frozen=True)
class Step:
    """One token written.

    Attributes:
        token: its id.
        probability: its probability in the distribution that it was drawn from (after
            temperature, top-k and the rest; at temperature 0 those at temperature 1).
        alternatives: the likeliest (id, probability) pairs of that distribution, descending.
    """

    token: int
    probability: float
    alternatives: tuple[tuple[int, float], ...]


def stream(
    model: Decoder, prompt_ids: Sequence[int], *, max_new_tokens: int,
    temperature: float = 0.8, top_k: int = 0, top_p: float = 1.0,
    repetition_penalty: float = 1.0, seed: int = 0, allowed: int | None = None,
    start_id: int | None = None, stop: Stop | None = None, alternatives: int = 5,
) -> Iterator[Step]:  # fmt: skip
    """Continue ``prompt_ids`` by up to ``max_new_tokens`` tokens, one at a time.

    The same model, prompt, options and seed write the same text on every device as long as its
    arithmetic agrees: numbers are drawn on the CPU by a generator of their own. The model is in
    eval mode while it computes and in its former mode whenever a step has been yielded.

    The context, for every kind of position alike: the model reads at most the last T =
    ``max_seq_len`` tokens. When T tokens are held, it goes on with the last T // 2 (at least
    one), which move to positions 0, 1, … and are computed afresh. So what it sees is always one
    whole piece of text that it reads as it would read it alone, no position that it was not made
    for ever occurs, and the price is one long pass for each T / 2 tokens.

    Args:
        allowed: ids from here on are never written (a tokenizer may have fewer tokens than the
            model's vocabulary); None: the whole vocabulary.
        start_id: what an empty prompt begins with, unseen by the caller (a line break, say).
            None: the first token is drawn evenly from all allowed ones.
        stop: is given the tokens written so far after each of them; True ends the text.
        alternatives: how many of the likeliest tokens each step tells.

    Raises SpecError for options or ids that mean nothing (at once, not at the first token),
    BrokenModelError where the model's scores are not finite.
    """
    sampling = Sampling(temperature, top_k, top_p, repetition_penalty)
    vocab_size = model.spec.vocab_size
    allowed = vocab_size if allowed is None else allowed
    if not 1 <= allowed <= vocab_size:
        raise SpecError("allowed", f"must be from 1 to the vocabulary's {vocab_size:,}")
    prompt = list(prompt_ids) or ([] if start_id is None else [start_id])
    if not all(0 <= token < vocab_size for token in prompt):
        raise SpecError("prompt", f"has a token that the vocabulary of {vocab_size:,} lacks")
    generator = torch.Generator().manual_seed(seed)
    steps = _write(model, prompt, max_new_tokens, sampling, generator, allowed, alternatives)
    return _until(stop, steps)


def _until(stop: Stop | None, steps: Iterator[Step]) -> Iterator[Step]:
    written: list[int] = []
    for step in steps:
        yield step
        written.append(step.token)
        if stop is not None and stop(written):
            return


def _write(
    model: Decoder, prompt: list[int], count: int, sampling: Sampling,
    generator: torch.Generator, allowed: int, alternatives: int,
) -> Iterator[Step]:  # fmt: skip
    window = Window(model, prompt, len(prompt) + count)
    for _ in range(count):
        if window.tokens:
            probabilities_V = next_token_probabilities(
                window.next_logits(), sampling, window.tokens, allowed
            )
        else:
            probabilities_V = torch.zeros(model.spec.vocab_size, dtype=torch.float64)
            probabilities_V[:allowed] = 1 / allowed
        greedy = sampling.temperature == 0 and window.tokens
        token = int(
            probabilities_V.argmax()
            if greedy
            else torch.multinomial(probabilities_V, 1, generator=generator)
        )
        top = probabilities_V.topk(min(alternatives, allowed))
        pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        window.tokens.append(token)
        yield Step(token, float(probabilities_V[token]), tuple(pair for pair in pairs if pair[1]))


class Window:
    """The piece of text that the model has before it, and the cache of what it has read of it.

    Append to ``tokens``; ``next_logits`` reads what is new and crops when the context is full.
    """

    def __init__(self, model: Decoder, tokens: Sequence[int], expected: int) -> None:
        self._model = model
        self._context = model.spec.max_seq_len
        self._cache = KVCache(model.spec, max(1, expected))
        self.tokens = list(tokens[-self._context :])

    def next_logits(self) -> Tensor:
        """Scores (V,) of the token that follows the window."""
        if len(self.tokens) > self._context:
            self.tokens = self.tokens[-max(1, self._context // 2) :]
            self._cache.clear()
        device = self._model.model.embed_tokens.weight.device
        unread_BT = torch.tensor([self.tokens[self._cache.length :]], device=device)
        with torch.no_grad(), evaluating(self._model):
            logits_BTV = self._model(unread_BT, cache=self._cache, last_only=True).logits_BTV
        assert isinstance(logits_BTV, Tensor)
        return logits_BTV[0, -1]
