"""Text with a known entropy: a first-order Markov chain over a few letters.

Given the letter before it, the next letter of such a text carries, on average, exactly the chain's
entropy rate; no model of any kind can do better, and a 2-gram table needs nothing else.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, eq=False)
class MarkovChain:
    """``transitions[i, j]``: probability that letter j follows letter i, S letters in all."""

    transitions: npt.NDArray[np.float64]

    @classmethod
    def random(cls, num_letters: int = 8, seed: int = 0, sharpness: float = 1.0) -> MarkovChain:
        """A chain with random transitions, all possible; sharper ones are easier to predict."""
        assert 2 <= num_letters <= len(LETTERS)
        scores = np.random.RandomState(seed).standard_normal((num_letters, num_letters))
        weights = np.exp(sharpness * scores)
        return cls(weights / weights.sum(axis=1, keepdims=True))

    @property
    def num_letters(self) -> int:
        return len(self.transitions)

    @property
    def alphabet(self) -> str:
        return LETTERS[: self.num_letters]

    def stationary(self) -> npt.NDArray[np.float64]:
        """How frequent each letter is in the long run: the p with p = p × transitions, sum 1."""
        size = self.num_letters
        equations = np.vstack([self.transitions.T - np.eye(size), np.ones(size)])
        solution, *_ = np.linalg.lstsq(equations, np.append(np.zeros(size), 1.0), rcond=None)
        frequencies: npt.NDArray[np.float64] = solution
        return frequencies

    def _surprises(self) -> npt.NDArray[np.float64]:
        """-ln of every transition's probability, 0 for those that never happen."""
        possible = self.transitions > 0
        return -np.log(np.where(possible, self.transitions, 1.0))

    def _pair_frequencies(self) -> npt.NDArray[np.float64]:
        return self.stationary()[:, None] * self.transitions

    def entropy_rate(self) -> float:
        """Nats a letter given the one before: the least loss there is."""
        return float((self._pair_frequencies() * self._surprises()).sum())

    def letter_entropy(self) -> float:
        """Nats a letter given nothing: what the 1-gram table reaches."""
        frequencies = self.stationary()
        return float(-(frequencies * np.log(frequencies)).sum())

    def standard_error(self, num_letters: int) -> float:
        """Standard error of the least loss measured on ``num_letters`` letters, in nats.

        Surprises are taken as independent, which letters of a chain almost are.
        """
        variance = (self._pair_frequencies() * self._surprises() ** 2).sum()
        return math.sqrt((variance - self.entropy_rate() ** 2) / num_letters)

    def ids(self, length: int, seed: int = 0) -> npt.NDArray[np.int64]:
        """A sequence that begins with a letter drawn from the stationary frequencies."""
        draws = np.random.RandomState(seed).random_sample(length).tolist()
        bounds = np.cumsum(np.vstack([self.transitions, self.stationary()]), axis=1)
        bounds[:, -1] = 1.0
        rows = bounds.tolist()
        letters, row = [], rows[-1]
        for draw in draws:
            letter = bisect_right(row, draw)
            letters.append(letter)
            row = rows[letter]
        return np.array(letters, dtype=np.int64)

    def text(self, length: int, seed: int = 0) -> str:
        """The same sequence as letters."""
        return "".join(LETTERS[letter] for letter in self.ids(length, seed).tolist())
