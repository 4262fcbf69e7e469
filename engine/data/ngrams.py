"""Floors under a loss: what tables of n-grams reach on the very tokens a model is measured on.

A model that is worse than the 1-gram table has not even learned which tokens are frequent; one
that is better than the 3-gram table uses more than the last two tokens.

The tables are counted on the training part and smoothed with interpolated, modified Kneser-Ney
(Chen and Goodman 1998, "An empirical study of smoothing techniques for language modeling",
section 3): an n-gram that was seen c times counts c - D(c), and what the discounts D save is
shared out by the table of order n - 1, in which a token counts by how many different tokens it
was seen after. Nothing of the measured text goes into the tables, so these numbers are what the
table would score, not how well it can be fitted. The entropy of the training text itself, which
falls towards zero for long n-grams and small texts, is given beside them, labelled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.data.tokenizers.base import Ids

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

MAX_ORDER = 8
MAX_TRAIN_TOKENS = 4_000_000
MAX_TARGETS = 1_000_000
# Counting into a table of this many places is faster than sorting, and takes up to 100 MB.
_TABLE_PLACES = 1 << 23
# A discount of nothing would leave no probability for what was never seen.
_LEAST_DISCOUNT = 0.05
_USUAL_DISCOUNT = 0.5


@dataclass(frozen=True)
class NgramFloor:
    """One table. Both losses are in nats a token.

    ``held_out`` is what the smoothed table of the training part scores on the measured tokens: the
    floor to show. ``in_sample`` is the conditional entropy of the counted training tokens, which
    no table can honestly reach on new text. ``distinct`` counts the different n-grams.
    """

    order: int
    held_out: float
    in_sample: float
    distinct: int


@dataclass(frozen=True)
class Floors:
    """Losses, in nats a token, that need no model.

    ``uniform_vocabulary`` is ln(vocab_size), where an untrained model begins;
    ``uniform_occurring`` is ln(``occurring``), a guess among the tokens that really occur.
    ``counted_tokens`` of the ``train_tokens`` were counted, from the beginning; ``targets`` tokens
    were measured.
    """

    vocab_size: int
    occurring: int
    ngrams: tuple[NgramFloor, ...]
    counted_tokens: int
    train_tokens: int
    targets: int

    @property
    def uniform_vocabulary(self) -> float:
        return math.log(self.vocab_size)

    @property
    def uniform_occurring(self) -> float:
        return math.log(self.occurring)

    def named(self) -> dict[str, float]:
        """The floors to show, by name: uniform (over what occurs), 1-gram, 2-gram, …"""
        tables = {f"{floor.order}-gram": floor.held_out for floor in self.ngrams}
        return {"uniform": self.uniform_occurring, **tables}

    def note(self) -> str:
        """What the tables were counted on, where that is not all of the training part."""
        if self.counted_tokens == self.train_tokens:
            return ""
        return (
            f"n-grams are counted on the first {self.counted_tokens:,} of {self.train_tokens:,} "
            "training tokens"
        )


def floors(
    train_ids: Ids,
    validation_ids: Ids,
    vocab_size: int,
    orders: Sequence[int] = (1, 2, 3),
    *,
    targets: Integers | None = None,
    max_train_tokens: int = MAX_TRAIN_TOKENS,
) -> Floors:
    """The floors of a text, measured on the tokens of ``validation_ids`` at places ``targets``.

    Without ``targets`` these are all but the first, which is never predicted. Give
    ``ValidationBatches.target_positions()`` to measure the very tokens that a model's validation
    loss is of. A table sees the true tokens before its target even where a model's sequence has
    just begun. At most ``MAX_TARGETS`` targets, evenly spread, are measured.

    Ids are below ``vocab_size``. Raises ValueError for an empty part or an order outside 1 … 8.
    """
    if not orders or not all(1 <= order <= MAX_ORDER for order in orders):
        raise ValueError(f"orders of n-grams must be from 1 to {MAX_ORDER}")
    places = _places(validation_ids, targets)
    train = np.asarray(train_ids[:max_train_tokens], dtype=np.int64)
    if len(train) == 0:
        raise ValueError("there are no tokens to count")
    tables = _count_all(train, vocab_size, max(orders))
    losses = _held_out_losses(tables, _histories(validation_ids, places, max(orders)), vocab_size)
    return Floors(
        vocab_size=vocab_size,
        occurring=_occurring(train_ids, validation_ids, vocab_size),
        ngrams=tuple(
            NgramFloor(
                order=order,
                held_out=losses[order - 1],
                in_sample=tables[order - 1].entropy(),
                distinct=len(tables[order - 1].counts),
            )
            for order in sorted(set(orders))
        ),
        counted_tokens=len(train),
        train_tokens=len(train_ids),
        targets=len(places),
    )


def _occurring(train_ids: Ids, validation_ids: Ids, vocab_size: int) -> int:
    found = np.zeros(vocab_size, dtype=bool)
    found[train_ids] = True
    found[validation_ids] = True
    return int(found.sum())


def _places(validation_ids: Ids, targets: Integers | None) -> Integers:
    places = np.arange(1, len(validation_ids)) if targets is None else np.asarray(targets)
    if len(places) == 0:
        raise ValueError("there are no tokens to measure")
    if len(places) > MAX_TARGETS:
        places = places[np.arange(MAX_TARGETS) * len(places) // MAX_TARGETS]
    return places.astype(np.int64)


def _histories(validation_ids: Ids, places: Integers, order: int) -> Integers:
    """Shape (P, order): the target in the last column, what came before it to the left, or -1."""
    columns = places[:, None] + np.arange(1 - order, 1)
    ids = validation_ids[np.maximum(columns, 0)].astype(np.int64)
    return np.where(columns >= 0, ids, -1)


@dataclass(frozen=True)
class _Table:
    """All different n-grams of one order n, numbered from 0 in the order of their codes.

    The code of an n-gram is (number of its first n - 1 tokens in the table of order n - 1) ×
    vocab_size + its last token; ``contexts`` holds those numbers. ``numbers`` gives the n-gram that
    ends at each training token (-1 for the first n - 1 tokens). ``places`` maps codes to numbers,
    -1 where there is none, and is None where that would take too much memory.
    """

    order: int
    codes: Integers
    counts: Integers
    contexts: Integers
    num_contexts: int
    numbers: Integers
    places: npt.NDArray[np.int32] | None

    def find(self, contexts: Integers, tokens: Integers, vocab_size: int) -> Integers:
        """Numbers of the n-grams made of a context and a token each; -1 for those not seen."""
        if len(self.counts) == 0:  # the text is shorter than the n-gram
            return np.full(len(tokens), -1, dtype=np.int64)
        known = (contexts >= 0) & (tokens >= 0)
        codes = np.where(known, contexts * vocab_size + tokens, 0)
        if self.places is not None:
            found = self.places[codes].astype(np.int64)
        else:
            found = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
            found = np.where(self.codes[found] == codes, found, -1)
        return np.where(known, found, -1)

    def entropy(self) -> float:
        """Entropy of the last token given those before it, by the counts themselves, in nats."""
        if len(self.counts) == 0:
            return 0.0
        totals = np.bincount(self.contexts, self.counts, self.num_contexts)[self.contexts]
        return float(-(self.counts * np.log(self.counts / totals)).sum() / self.counts.sum())


def _count_all(train: Integers, vocab_size: int, highest: int) -> list[_Table]:
    tables: list[_Table] = []
    # The only 0-gram is the context of every 1-gram.
    numbers, num_contexts = np.zeros(len(train) + 1, dtype=np.int64), 1
    for order in range(1, highest + 1):
        table = _count(train, numbers, num_contexts, vocab_size, order)
        tables.append(table)
        numbers, num_contexts = np.concatenate([[-1], table.numbers]), len(table.counts)
    return tables


def _count(
    train: Integers, contexts: Integers, num_contexts: int, vocab_size: int, order: int
) -> _Table:
    """Count the n-grams, given the number of the context before each training token."""
    first = min(order - 1, len(train))
    codes = contexts[first : len(train)] * vocab_size + train[first:]
    places = None
    if num_contexts * vocab_size <= _TABLE_PLACES:
        occurrences = np.bincount(codes, minlength=num_contexts * vocab_size)
        distinct = np.flatnonzero(occurrences)
        counts = occurrences[distinct]
        places = np.full(len(occurrences), -1, dtype=np.int32)
        places[distinct] = np.arange(len(distinct))
        found = places[codes].astype(np.int64)
    else:
        distinct, found, counts = np.unique(codes, return_inverse=True, return_counts=True)
    numbers = np.concatenate([np.full(first, -1, dtype=np.int64), found.reshape(-1)])
    return _Table(order, distinct, counts, distinct // vocab_size, num_contexts, numbers, places)


def _held_out_losses(tables: list[_Table], histories: Integers, vocab_size: int) -> list[float]:
    """Mean loss (nats) of the smoothed table of each order on the last column of ``histories``."""
    lower = np.full(len(histories), 1.0 / vocab_size)
    shorter = lower  # the best a target too near the beginning for a longer history can get
    losses = []
    for place, table in enumerate(tables):
        contexts, grams = _find_grams(tables, histories, table.order, vocab_size)
        own = _smoothed(table, table.counts, contexts, grams, lower)
        own = np.where(contexts == _CUT_SHORT, shorter, own)
        losses.append(float(-np.log(own).mean()))
        shorter = own
        if place + 1 < len(tables):
            spread = _continuation_counts(table, tables[place + 1])
            lower = _smoothed(table, spread, contexts, grams, lower)
    return losses


_CUT_SHORT = -2


def _find_grams(
    tables: list[_Table], histories: Integers, order: int, vocab_size: int
) -> tuple[Integers, Integers]:
    """Numbers of the context and of the whole n-gram of each history; negative: not seen."""
    width = histories.shape[1]
    contexts = np.zeros(len(histories), dtype=np.int64)
    for table, column in zip(tables, range(width - order, width - 1)):  # noqa: B905
        contexts = table.find(contexts, histories[:, column], vocab_size)
    grams = tables[order - 1].find(contexts, histories[:, -1], vocab_size)
    return np.where(histories[:, width - order] < 0, _CUT_SHORT, contexts), grams


def _continuation_counts(table: _Table, longer: _Table) -> Integers:
    """How many different tokens each n-gram was seen after (at least one: the text's beginning)."""
    ends = longer.numbers >= 0
    suffixes = np.zeros(len(longer.counts), dtype=np.int64)
    suffixes[longer.numbers[ends]] = table.numbers[ends]
    return np.maximum(np.bincount(suffixes, minlength=len(table.counts)), 1)


def _smoothed(
    table: _Table, counts: Integers, contexts: Integers, grams: Integers, lower: Numbers
) -> Numbers:
    """Probability of each target: discounted counts, and the rest shared out by ``lower``.

    A context that was never seen leaves everything to ``lower``.
    """
    if len(counts) == 0:
        return lower
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    totals = np.bincount(table.contexts, counts, table.num_contexts)
    saved = np.bincount(table.contexts, discounts, table.num_contexts)
    # A context that only ended the text was followed by nothing, and says nothing either.
    seen = np.flatnonzero((contexts >= 0) & (totals[np.maximum(contexts, 0)] > 0))
    at, found = contexts[seen], grams[seen]
    # The last place, where -1 points, is for n-grams that were never seen.
    kept = np.append(counts - discounts, 0.0)[found]
    probabilities: Numbers = lower.copy()
    probabilities[seen] = (kept + saved[at] * lower[seen]) / totals[at]
    return probabilities


def _discounts(counts: Integers) -> Numbers:
    """D(0), D(1), D(2) and D(3 and more) of modified Kneser-Ney, estimated from ``counts``.

    Chen and Goodman's estimates need n-grams that were seen once, twice, three and four times; a
    small vocabulary lacks them, and then so little depends on the discount that any will do.
    """
    n1, n2, n3, n4 = (int((counts == times).sum()) for times in (1, 2, 3, 4))
    if min(n1, n2, n3, n4) == 0:
        usual = n1 / (n1 + 2 * n2) if n1 and n2 else _USUAL_DISCOUNT
        return np.array([0.0, usual, usual, usual])
    scale = n1 / (n1 + 2 * n2)
    estimates = (1 - 2 * scale * n2 / n1, 2 - 3 * scale * n3 / n2, 3 - 4 * scale * n4 / n3)
    bounded = [min(max(d, _LEAST_DISCOUNT), c) for c, d in enumerate(estimates, start=1)]
    return np.array([0.0, *bounded])
