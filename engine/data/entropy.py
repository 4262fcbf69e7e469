"""From a loss in nats a token to numbers that different tokenizers can be compared by."""

from __future__ import annotations

import math


def bits(nats: float) -> float:
    """Information in bits: one nat is 1/ln 2 bits."""
    return nats / math.log(2)


def bits_per_unit(nats_per_token: float, num_tokens: int, num_units: int) -> float:
    """Bits for each character (or byte) of a text.

    ``nats_per_token`` is the mean loss over a text of ``num_tokens`` tokens and ``num_units``
    characters (or bytes). A subword stands for several characters, so its loss is larger and
    spread over more of them; only bits a character or byte tell which model predicts better.
    """
    if num_units < 1 or num_tokens < 0:
        raise ValueError("a text needs at least one character")
    return bits(nats_per_token) * num_tokens / num_units


def perplexity(nats_per_token: float) -> float:
    """exp(loss): among how many equally likely tokens the model is in doubt; infinite beyond."""
    try:
        return math.exp(nats_per_token)
    except OverflowError:
        return math.inf
