"""From the model's scores to the probabilities that the next token is drawn from."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.parameter import SpecError


class BrokenModelError(ValueError):
    """The model's scores are no numbers; the message says what to do."""


@dataclass(frozen=True)
class Sampling:
    """How daringly the next token is chosen.

    Attributes:
        temperature: scores are divided by it; 0 always takes the likeliest token.
        top_k: choose among this many likeliest tokens; 0: all.
        top_p: choose among the fewest likeliest tokens that together have this probability
            (Holtzman et al. 2019, https://arxiv.org/abs/1904.09751); 1: all.
        repetition_penalty: positive scores of tokens in the context are divided by it, negative
            ones multiplied (Keskar et al. 2019, https://arxiv.org/abs/1909.05858); 1: none.

    Raises SpecError for values that mean nothing.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise SpecError("temperature", "must be 0 or more", {"temperature": 0.8})
        if self.top_k < 0:
            raise SpecError("top_k", "must be 0 (all tokens) or more", {"top_k": 0})
        if not 0 < self.top_p <= 1:
            raise SpecError("top_p", "must be above 0 and at most 1", {"top_p": 1.0})
        if not 0 < self.repetition_penalty < math.inf:
            raise SpecError(
                "repetition_penalty", "must be above 0; 1 means none", {"repetition_penalty": 1.0}
            )


def next_token_probabilities(
    logits_V: Tensor, sampling: Sampling, context: Collection[int], allowed: int
) -> Tensor:
    """Probabilities of all V tokens, fp64 on the CPU; those from ``allowed`` on are 0.

    The order is: penalty, temperature, top-k, top-p. At temperature 0 these are the
    probabilities at temperature 1, of which the caller takes the largest.

    Raises BrokenModelError where a score is NaN or infinite.
    """
    scores_V = logits_V.detach().cpu().double()
    if not bool(torch.isfinite(scores_V).all()):
        raise BrokenModelError(
            "the model's scores are not finite (NaN): its weights are broken. Use an earlier "
            "checkpoint, and train with a lower learning rate"
        )
    if sampling.repetition_penalty != 1 and context:
        _penalize(scores_V, sorted(set(context)), sampling.repetition_penalty)
    scores_V[allowed:] = -math.inf
    if sampling.temperature == 0:
        return scores_V.softmax(dim=0)
    scores_V = (scores_V - scores_V.max()) / sampling.temperature  # never overflows upwards
    if 0 < sampling.top_k < allowed:
        kept = scores_V.topk(sampling.top_k).indices
        scores_V = torch.full_like(scores_V, -math.inf).index_copy(0, kept, scores_V[kept])
    probabilities_V: Tensor = scores_V.softmax(dim=0)
    return probabilities_V if sampling.top_p == 1 else _nucleus(probabilities_V, sampling.top_p)


def _penalize(scores_V: Tensor, seen: list[int], penalty: float) -> None:
    chosen = scores_V[seen]
    scores_V[seen] = torch.where(chosen > 0, chosen / penalty, chosen * penalty)


def _nucleus(probabilities_V: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities_V.sort(descending=True, stable=True)
    before = ordered.cumsum(dim=0) - ordered
    ordered = torch.where(before < top_p, ordered, 0.0)  # the first has 0 before it: always kept
    return torch.zeros_like(ordered).index_copy(0, order, ordered / ordered.sum())
