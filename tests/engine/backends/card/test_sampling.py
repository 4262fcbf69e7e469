"""Texts drawn from scores that are numpy arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.backends.card.sampling import (
    BrokenScoresError,
    CardSampler,
    next_token_probabilities,
)
from engine.data.tokenizers.byte import ByteTokenizer
from engine.models.sampling import Sampling
from engine.models.sampling import next_token_probabilities as by_torch
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

SCORES = np.random.Generator(np.random.PCG64(1)).normal(size=20) * 3


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [0, 1, 5, 20, 99])
@pytest.mark.parametrize("allowed", [1, 7, 20])
def test_probabilities_are_those_of_torchs_sampling(
    temperature: float, top_k: int, allowed: int
) -> None:
    found = next_token_probabilities(SCORES, temperature, top_k, allowed)
    wanted = by_torch(torch.tensor(SCORES), Sampling(temperature, top_k), (), allowed)
    assert found == pytest.approx(wanted[:allowed].numpy(), abs=1e-15)
    assert float(wanted[allowed:].sum()) == 0


def test_scores_that_are_no_numbers_are_said() -> None:
    scores = SCORES.copy()
    scores[3] = np.nan
    with pytest.raises(BrokenScoresError, match="weights are broken"):
        next_token_probabilities(scores, 1.0, 0, 20)
    next_token_probabilities(scores, 1.0, 0, 3)


class Counting:
    """A model whose likeliest next token is one more than the last; it remembers its windows."""

    def __init__(self) -> None:
        self.windows: list[list[int]] = []

    def next_logits(self, tokens: list[int]) -> np.ndarray:
        self.windows.append(list(tokens))
        scores = np.zeros(256)
        scores[(tokens[-1] + 1) % 256] = 9
        return scores


def sampler(model: Counting, **changes: object) -> CardSampler:
    run = RunSpec(sample_tokens=6, temperature=0.0, prompts=(), seed=5).replace(**changes)  # type: ignore[arg-type]
    spec = ModelSpec(max_seq_len=4)
    return CardSampler(model, ByteTokenizer(), spec, run, ("a", "b", "c", "d"))  # type: ignore[arg-type]


def write(written_by: CardSampler, prompt: str, stop: bool = False) -> tuple[str, int]:
    sample = written_by.write(3, prompt, cancelled=lambda: stop, limit_s=9)
    return sample.text, sample.tokens


def test_greedy_text_and_the_crop_to_half_the_context() -> None:
    model = Counting()
    assert write(sampler(model), "ab") == ("cdefgh", 6)
    assert [len(window) for window in model.windows] == [2, 3, 4, 2, 3, 4]
    assert model.windows[3] == [ord("d"), ord("e")]


def test_a_long_prompt_is_cut_to_the_context() -> None:
    model = Counting()
    write(sampler(model), "0123456789")
    assert model.windows[0] == [ord(c) for c in "6789"]


def test_a_stop_ends_a_sample_after_a_token() -> None:
    assert write(sampler(Counting()), "ab", stop=True) == ("c", 1)


def test_the_same_seed_writes_the_same_and_no_prompt_begins_anywhere() -> None:
    free = {"temperature": 2.0}
    one, same = (write(sampler(Counting(), **free), "ab") for _ in range(2))
    assert one == same
    assert write(sampler(Counting(), seed=6, **free), "ab") != one
    model = Counting()
    write(sampler(model), "")
    assert len(model.windows) == 5


def test_prompts_are_the_runs_or_the_corpus_own() -> None:
    own = sampler(Counting())
    assert own.prompts(0) == ("a", "b", "c")
    assert own.prompts(7) == ("a",)
    assert sampler(Counting(), prompts=("x",)).prompts(7) == ("x",)
