"""Token ids split into a part to learn from and a part to measure with, and batches of them.

Shapes: B batch, T sequence length. ``inputs_BT`` and ``targets_BT`` are int64 arrays; the target
of each place is the token that follows it, so targets are shifted here, by exactly one, and must
not be shifted again in the model or the loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.data.characters import utf8_size_bytes
from engine.data.random_offsets import offsets_below
from engine.data.tokenizers import Tokenizer, needs_whole_text, resolve_kind, train_tokenizer
from engine.data.tokenizers.base import Ids, Progress
from engine.parameter import SpecError

Batch = tuple["npt.NDArray[np.int64]", "npt.NDArray[np.int64]"]


@dataclass(frozen=True, eq=False)
class TokenDataset:
    """The ids of one text: ``train`` is its beginning, ``validation`` the rest, in its order.

    The counts of characters and UTF-8 bytes turn a loss per token into one per character or byte
    (``engine.data.entropy``); they are 0 where they are not known.
    """

    train: Ids = field(repr=False)
    validation: Ids = field(repr=False)
    vocab_size: int
    train_characters: int = 0
    validation_characters: int = 0
    train_bytes: int = 0
    validation_bytes: int = 0

    def longest_seq_len(self) -> int:
        """The longest sequence with its target that fits both parts; below 1 if there is none."""
        return min(len(self.train), len(self.validation)) - 1

    def check_seq_len(self, seq_len: int) -> None:
        """Raise SpecError where a part has no sequence of ``seq_len`` tokens and its target."""
        longest = self.longest_seq_len()
        if seq_len <= longest:
            return
        counts = f"{len(self.train):,} tokens to learn from, {len(self.validation):,} to measure"
        if longest < 1:
            raise SpecError("corpus", f"the text is too short ({counts}); choose a longer one")
        raise SpecError(
            "seq_len",
            f"sequences of {seq_len:,} tokens need {seq_len + 1:,} in each part of the text, which "
            f"has {counts}; shorten them, or choose a longer text",
            {"seq_len": longest},
        )


def split_text(text: str, train_fraction: float = 0.9) -> tuple[str, str]:
    """The first ``train_fraction`` of the characters (rounded down), and the rest."""
    cut = int(len(text) * train_fraction)
    return text[:cut], text[cut:]


def encode_dataset(
    tokenizer: Tokenizer,
    text: str,
    train_fraction: float = 0.9,
    progress: Progress | None = None,
) -> TokenDataset:
    """Encode the two parts of ``text``, each by itself, so that no token lies across the split.

    ``progress(done, total)`` counts characters of the whole text; what it raises ends the work.
    """
    learned, measured = split_text(text, train_fraction)
    total = max(1, len(text))

    def learned_progress(done: int, _: int) -> None:
        if progress is not None:
            progress(done, total)

    def measured_progress(done: int, _: int) -> None:
        if progress is not None:
            progress(len(learned) + done, total)

    return TokenDataset(
        train=tokenizer.encode(learned, progress=learned_progress),
        validation=tokenizer.encode(measured, progress=measured_progress),
        vocab_size=tokenizer.vocab_size,
        train_characters=len(learned),
        validation_characters=len(measured),
        train_bytes=utf8_size_bytes(learned),
        validation_bytes=utf8_size_bytes(measured),
    )


def train_tokenizer_for_split(
    kind: str,
    text: str,
    vocab_size: int,
    train_fraction: float = 0.9,
    progress: Progress | None = None,
) -> Tokenizer:
    """The tokenizer for a text that is split at ``train_fraction``.

    Merges and words are learned from the training part only, so that nothing about the measured
    part leaks; an alphabet is that of the whole text, without which it could not be encoded.
    """
    if needs_whole_text(resolve_kind(kind, vocab_size)):
        return train_tokenizer(kind, text, vocab_size, progress)
    return train_tokenizer(kind, split_text(text, train_fraction)[0], vocab_size, progress)


class BatchSource:
    """Batches of one dataset. All of them are pure functions of what they are asked for.

    Training batches are sequences from random places, drawn with replacement: place and data of
    micro-batch m of step s depend on (seed, s, m) alone, so a resumed run sees, bit for bit, what
    an uninterrupted one would have seen, on every machine and with every version of numpy.
    """

    def __init__(
        self,
        dataset: TokenDataset,
        batch_size: int,
        seq_len: int,
        seed: int,
        accumulation_steps: int = 1,
    ) -> None:
        """Raises SpecError where the text is too short for ``seq_len``."""
        if batch_size < 1 or seq_len < 1 or accumulation_steps < 1:
            raise ValueError("batch_size, seq_len and accumulation_steps must be at least 1")
        dataset.check_seq_len(seq_len)
        self.dataset = dataset
        self.batch_size = batch_size
        self.seq_len = seq_len
        self.seed = seed
        self.accumulation_steps = accumulation_steps

    def training_offsets(self, step: int, micro: int = 0) -> npt.NDArray[np.int64]:
        """Where the sequences of a micro-batch begin in the training part; shape (B,)."""
        # Each place has its target: the last sequence ends one token before the end.
        places = len(self.dataset.train) - self.seq_len
        return offsets_below(places, self.batch_size, self.seed, step, micro)

    def training_batch(self, step: int, micro: int = 0) -> Batch:
        """(inputs_BT, targets_BT) of micro-batch ``micro`` of step ``step``, both from 0."""
        return _windows(self.dataset.train, self.training_offsets(step, micro), self.seq_len)

    def validation_batches(self, max_tokens: int | None = None) -> ValidationBatches:
        """Batches over the validation part, of at most ``max_tokens`` tokens in all."""
        return ValidationBatches(self.dataset.validation, self.batch_size, self.seq_len, max_tokens)

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one update learns from."""
        return self.batch_size * self.seq_len * self.accumulation_steps

    def epoch_of(self, step: int) -> float:
        """How many times as many tokens as the training part has were learned before ``step``.

        Sequences come from random places, so after one epoch some tokens were seen more than
        once and some not at all.
        """
        return step * self.tokens_per_step / len(self.dataset.train)


class ValidationBatches:
    """The sequences that a model is measured on: always the same, none overlapping another.

    They are all full sequences of the validation part; where that is more than ``max_tokens``,
    they are spread evenly over it (one sequence at least). Iterating gives
    (inputs_BT, targets_BT); the last batch may have fewer rows, so a mean over tokens must weigh
    batches by their size.
    """

    def __init__(
        self, ids: Ids, batch_size: int, seq_len: int, max_tokens: int | None = None
    ) -> None:
        available = (len(ids) - 1) // seq_len
        assert available > 0, "the dataset was checked against seq_len"
        count = available
        if max_tokens is not None:
            count = min(available, max(1, max_tokens // seq_len))
        self._ids = ids
        self._batch_size = batch_size
        self._seq_len = seq_len
        places = (2 * np.arange(count, dtype=np.int64) + 1) * available // (2 * count)
        self.starts: npt.NDArray[np.int64] = places * seq_len

    @property
    def tokens(self) -> int:
        """How many tokens are predicted and measured in all."""
        return len(self.starts) * self._seq_len

    @property
    def tokens_left_out(self) -> int:
        """Tokens of the validation part that are never predicted; fewer than T without a limit."""
        return len(self._ids) - 1 - self.tokens

    def target_positions(self) -> npt.NDArray[np.int64]:
        """Places in the validation part of all tokens that are predicted, ascending.

        Floors that are computed for them are on the very tokens that the loss is.
        """
        return (self.starts[:, None] + np.arange(1, self._seq_len + 1)).reshape(-1)

    def __len__(self) -> int:
        return len(range(0, len(self.starts), self._batch_size))

    def __iter__(self) -> Iterator[Batch]:
        for first in range(0, len(self.starts), self._batch_size):
            starts = self.starts[first : first + self._batch_size]
            yield _windows(self._ids, starts, self._seq_len)


def _windows(ids: Ids, starts: npt.NDArray[np.int64], seq_len: int) -> Batch:
    """The ``seq_len`` ids from each start, and those one place further on."""
    windows = ids[starts[:, None] + np.arange(seq_len + 1)].astype(np.int64)
    return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, 1:])
