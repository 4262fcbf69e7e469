"""Floors are what smoothed tables of n-grams really score, and sit where theory puts them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data import ngrams
from engine.data.dataset import BatchSource, TokenDataset
from engine.data.ngrams import Floors, floors
from tests.engine.data.markov import MarkovChain

Probability = Callable[[tuple[int, ...], int], float]


def _discount(counts: Counter[tuple[int, ...]]) -> Callable[[int], float]:
    """Chen and Goodman's three discounts, with our fallback for small vocabularies."""
    n = [sum(count == times for count in counts.values()) for times in range(5)]
    if 0 in n[1:]:
        usual = n[1] / (n[1] + 2 * n[2]) if n[1] and n[2] else 0.5
        return lambda count: usual
    y = n[1] / (n[1] + 2 * n[2])
    found = [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
    bounded = [min(max(d, 0.05), c) for c, d in zip((1, 2, 3), found)]  # noqa: B905
    return lambda count: bounded[min(count, 3) - 1]


def _kneser_ney(train: Sequence[int], vocab_size: int, order: int) -> Probability:
    """Interpolated modified Kneser-Ney by dictionaries, after the paper's recursive formula."""

    def windows(size: int) -> list[tuple[int, ...]]:
        return [tuple(train[i : i + size]) for i in range(len(train) - size + 1)]

    levels = []
    for size in range(1, order + 1):
        if size == order:
            counts = Counter(windows(size))
        else:
            counts = Counter(gram[1:] for gram in set(windows(size + 1)))
            counts.update(gram for gram in windows(size)[:1] if gram not in counts)
        totals: defaultdict[tuple[int, ...], int] = defaultdict(int)
        saved: defaultdict[tuple[int, ...], float] = defaultdict(float)
        discount = _discount(counts)
        for gram, count in counts.items():
            totals[gram[:-1]] += count
            saved[gram[:-1]] += discount(count)
        levels.append((counts, totals, saved, discount))

    def probability(context: tuple[int, ...], token: int, size: int = order) -> float:
        if size == 0:
            return 1.0 / vocab_size
        counts, totals, saved, discount = levels[size - 1]
        lower = probability(context[1:], token, size - 1)
        if context not in totals:
            return lower
        count = counts.get((*context, token), 0)
        kept = count - discount(count) if count else 0.0
        return (kept + saved[context] * lower) / totals[context]

    return probability


def _by_hand(
    train: Sequence[int], validation: Sequence[int], vocab_size: int, order: int
) -> list[float]:
    """The loss of every validation token but the first."""
    tables = {size: _kneser_ney(train, vocab_size, size) for size in range(1, order + 1)}
    losses = []
    for at in range(1, len(validation)):
        size = min(order, at + 1)
        context = tuple(validation[at - size + 1 : at])
        losses.append(-math.log(tables[size](context, validation[at])))
    return losses


SEQUENCES = st.lists(st.integers(0, 5), min_size=2, max_size=80)


@given(SEQUENCES, SEQUENCES, st.integers(1, 4), st.integers(6, 9))
def test_scores_are_those_of_the_published_formula(
    train: list[int], validation: list[int], order: int, vocab_size: int
) -> None:
    result = floors(np.array(train), np.array(validation), vocab_size, tuple(range(1, order + 1)))
    for floor in result.ngrams:
        wanted = np.mean(_by_hand(train, validation, vocab_size, floor.order))
        assert floor.held_out == pytest.approx(wanted, rel=1e-9)


@settings(max_examples=20)
@given(SEQUENCES, st.integers(1, 3))
def test_the_tables_are_probabilities(train: list[int], order: int) -> None:
    table = _kneser_ney(train, 7, order)
    for context in {tuple(train[i : i + order - 1]) for i in range(len(train))}:
        if len(context) == order - 1:
            assert sum(table(context, token) for token in range(7)) == pytest.approx(1)


@pytest.mark.parametrize("orders", [(1, 2, 3, 4), (4,)])
def test_a_longer_text_with_all_discounts_agrees_too(orders: tuple[int, ...]) -> None:
    # Words of random length: rich in n-grams that occur once, twice, three and four times.
    random = np.random.RandomState(5)
    ids = (random.zipf(1.5, 6000) % 40).astype(np.uint16)
    result = floors(ids[:5000], ids[5000:], 40, orders)
    assert [floor.order for floor in result.ngrams] == list(orders)
    for floor in result.ngrams:
        wanted = np.mean(_by_hand(ids[:5000].tolist(), ids[5000:].tolist(), 40, floor.order))
        assert floor.held_out == pytest.approx(wanted, rel=1e-9)


def test_sorting_and_counting_in_a_table_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(1)
    ids = (random.zipf(1.4, 4000) % 300).astype(np.uint16)
    counted = floors(ids[:3500], ids[3500:], 300, (1, 2, 3, 4))
    monkeypatch.setattr(ngrams, "_TABLE_PLACES", 0)
    assert floors(ids[:3500], ids[3500:], 300, (1, 2, 3, 4)) == counted


# What theory says -----------------------------------------------------------------------------

CHAIN = MarkovChain.random(8, seed=3)
CHAIN_IDS = CHAIN.ids(220_000, seed=4)


@pytest.fixture(scope="module")
def chain_floors() -> Floors:
    return floors(CHAIN_IDS[:200_000], CHAIN_IDS[200_000:], 8)


def test_the_2_gram_table_reaches_the_entropy_of_a_markov_chain(chain_floors: Floors) -> None:
    one, two, three = (floor.held_out for floor in chain_floors.ngrams)
    error = 3 * CHAIN.standard_error(20_000)
    assert two == pytest.approx(CHAIN.entropy_rate(), abs=error)
    assert one == pytest.approx(CHAIN.letter_entropy(), abs=error)
    # There is nothing more to know: one token more of history only adds noise, and little of it.
    assert two - 1e-4 < three < two + 0.005
    assert one - two > 10 * error


def test_the_training_texts_own_entropy_is_near_it_too(chain_floors: Floors) -> None:
    assert [floor.distinct for floor in chain_floors.ngrams] == [8, 64, 512]
    one, two, three = (floor.in_sample for floor in chain_floors.ngrams)
    error = 3 * CHAIN.standard_error(200_000)
    assert one == pytest.approx(CHAIN.letter_entropy(), abs=error)
    assert two == pytest.approx(CHAIN.entropy_rate(), abs=error)
    # Fitted to its own text, a larger table always looks better. This is why it isn't shown.
    assert three < two


def test_in_sample_entropy_worked_out_by_hand() -> None:
    # a a b a a b: after a comes a twice, b twice; after b comes a once.
    result = floors(np.array([0, 0, 1, 0, 0, 1]), np.array([0, 1]), 2, (1, 2))
    one, two = result.ngrams
    assert one.in_sample == pytest.approx(math.log(3) - 2 / 3 * math.log(2))
    assert two.in_sample == pytest.approx(4 / 5 * math.log(2))
    assert (one.distinct, two.distinct) == (2, 3)


def test_in_sample_is_no_floor_where_held_out_is() -> None:
    random = np.random.RandomState(0)
    noise = random.randint(0, 500, 5000)
    three = floors(noise[:4500], noise[4500:], 500).ngrams[2]
    assert three.in_sample < 0.1
    assert three.held_out == pytest.approx(math.log(500), abs=0.1)


def test_uniform_floors_tell_vocabulary_from_what_occurs() -> None:
    result = floors(np.array([3, 4, 3, 4]), np.array([4, 5]), 256, (1,))
    assert result.occurring == 3
    assert result.uniform_occurring == pytest.approx(math.log(3))
    assert result.uniform_vocabulary == pytest.approx(math.log(256))


def test_names_for_the_chart(chain_floors: Floors) -> None:
    named = chain_floors.named()
    assert list(named) == ["uniform", "1-gram", "2-gram", "3-gram"]
    assert named["uniform"] == pytest.approx(math.log(8))
    assert named["2-gram"] == chain_floors.ngrams[1].held_out
    assert (
        list(named.values()) == sorted(named.values(), reverse=True)[:2] + list(named.values())[2:]
    )


# Which tokens are counted and measured --------------------------------------------------------


def test_nothing_measured_goes_into_the_tables() -> None:
    """A leak would make later tokens change what earlier ones score."""
    places = np.arange(1, 500)
    whole = floors(CHAIN_IDS[:3000], CHAIN_IDS[3000:6000], 8, targets=places)
    beginning = floors(CHAIN_IDS[:3000], CHAIN_IDS[3000:3500], 8)
    assert whole.ngrams == beginning.ngrams


def test_targets_are_measured_each_with_its_true_history() -> None:
    train, validation = CHAIN_IDS[:2000], CHAIN_IDS[2000:2100]
    alone = [
        [floor.held_out for floor in floors(train, validation, 8, targets=np.array([at])).ngrams]
        for at in (1, 2, 50, 99)
    ]
    together = floors(train, validation, 8, targets=np.array([1, 2, 50, 99]))
    assert [floor.held_out for floor in together.ngrams] == pytest.approx(np.mean(alone, axis=0))
    assert together.targets == 4


def test_a_models_validation_tokens_can_be_measured() -> None:
    dataset = TokenDataset(CHAIN_IDS[:3000], CHAIN_IDS[3000:4000], 8)
    batches = BatchSource(dataset, 4, 16, seed=0).validation_batches(200)
    result = floors(dataset.train, dataset.validation, 8, targets=batches.target_positions())
    assert result.targets == batches.tokens == 192


def test_long_training_parts_are_counted_from_the_beginning_and_said() -> None:
    train, validation = CHAIN_IDS[:5000], CHAIN_IDS[5000:6000]
    limited = floors(train, validation, 8, max_train_tokens=2000)
    assert limited.ngrams == floors(train[:2000], validation, 8).ngrams
    assert (limited.counted_tokens, limited.train_tokens) == (2000, 5000)
    assert "first 2,000 of 5,000" in limited.note()
    assert floors(train, validation, 8).note() == ""


def test_many_targets_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "MAX_TARGETS", 5)
    result = floors(CHAIN_IDS[:2000], CHAIN_IDS[2000:2100], 8)
    places = np.array([1, 20, 40, 60, 80])
    assert result == floors(CHAIN_IDS[:2000], CHAIN_IDS[2000:2100], 8, targets=places)


def test_what_was_never_seen_has_a_finite_loss() -> None:
    result = floors(np.array([0, 1] * 50), np.array([9, 8, 7, 9]), 10, (1, 2, 3, 4))
    assert all(0 < floor.held_out < 20 for floor in result.ngrams)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_training_parts_shorter_than_the_order(length: int) -> None:
    result = floors(np.zeros(length, dtype=np.uint16), np.zeros(3, dtype=np.uint16), 4, (1, 4))
    assert all(math.isfinite(floor.held_out) for floor in result.ngrams)
    assert all(floor.in_sample == 0 for floor in result.ngrams)


@pytest.mark.parametrize("orders", [(), (0,), (9,), (1, -1)])
def test_impossible_orders_are_refused(orders: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="from 1 to 8"):
        floors(CHAIN_IDS[:10], CHAIN_IDS[:10], 8, orders)


def test_empty_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="no tokens to count"):
        floors(CHAIN_IDS[:0], CHAIN_IDS[:10], 8)
    with pytest.raises(ValueError, match="no tokens to measure"):
        floors(CHAIN_IDS[:10], CHAIN_IDS[:1], 8)
