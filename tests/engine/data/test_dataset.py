"""Two parts of a text, and batches of them that depend on seed, step and micro-batch alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.dataset import (
    BatchSource,
    TokenDataset,
    encode_dataset,
    split_text,
    train_tokenizer_for_split,
)
from engine.data.tokenizers import train_tokenizer
from engine.parameter import SpecError
from tests.engine.data.markov import MarkovChain

TEXT = MarkovChain.random(6).text(3000)


def _counting(train: int, validation: int) -> TokenDataset:
    """Ids that are their own places: whatever is in a batch tells where it is from."""
    return TokenDataset(
        np.arange(train, dtype=np.uint16), np.arange(validation, dtype=np.uint16), 1 << 16
    )


# The split ------------------------------------------------------------------------------------


def test_tiny_shakespeares_length_splits_as_published() -> None:
    train, validation = split_text("x" * 1_115_394, 0.9)
    assert (len(train), len(validation)) == (1_003_854, 111_540)


@given(st.text(), st.floats(0.5, 0.99))
def test_the_parts_are_the_text(text: str, fraction: float) -> None:
    train, validation = split_text(text, fraction)
    assert train + validation == text
    assert len(train) <= len(text) * fraction < len(train) + 1


@pytest.mark.parametrize("kind", ["character", "byte", "bpe", "word"])
def test_parts_are_encoded_each_by_itself(kind: str) -> None:
    text = "naïve fish swim. " * 100
    tokenizer = train_tokenizer_for_split(kind, text, 400)
    dataset = encode_dataset(tokenizer, text, 0.9)
    train, validation = split_text(text, 0.9)
    assert tokenizer.decode(dataset.train) == train
    assert tokenizer.decode(dataset.validation) == validation
    assert dataset.vocab_size == tokenizer.vocab_size
    assert (dataset.train_characters, dataset.validation_characters) == (1530, 170)
    assert (dataset.train_bytes, dataset.validation_bytes) == (1530 + 90, 170 + 10)


def test_merges_come_from_the_training_part_and_alphabets_from_all() -> None:
    text = "ab " * 300 + "zq " * 33
    learned = train_tokenizer_for_split("bpe", text, 300)
    assert learned == train_tokenizer("bpe", split_text(text)[0], 300)
    assert b" zq" not in [learned.token_bytes(i) for i in range(learned.vocab_size)]
    leaked = train_tokenizer("bpe", text, 300)
    assert b" zq" in [leaked.token_bytes(i) for i in range(leaked.vocab_size)]
    alphabet = train_tokenizer_for_split("character", text, 300)
    assert alphabet.decode(range(alphabet.vocab_size)) == " abqz"


def test_progress_counts_the_whole_text() -> None:
    seen: list[tuple[int, int]] = []
    encode_dataset(
        train_tokenizer("byte", "", 256),
        "x" * 100,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(90, 100), (100, 100)]


@pytest.mark.parametrize(("train", "validation"), [(100, 11), (11, 100)])
def test_too_short_a_part_is_refused_with_the_longest_that_fits(
    train: int, validation: int
) -> None:
    dataset = _counting(train, validation)
    dataset.check_seq_len(10)
    BatchSource(dataset, 2, 10, seed=0)
    with pytest.raises(SpecError, match="sequences of 11 tokens need 12 in each part") as caught:
        BatchSource(dataset, 2, 11, seed=0)
    assert caught.value.field == "seq_len"
    assert caught.value.fix == {"seq_len": 10}


@pytest.mark.parametrize(("train", "validation"), [(100, 1), (1, 100), (0, 0)])
def test_a_text_without_any_sequence_is_refused(train: int, validation: int) -> None:
    with pytest.raises(SpecError, match="too short") as caught:
        _counting(train, validation).check_seq_len(1)
    assert caught.value.field == "corpus"


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_sizes_are_at_least_one(numbers: tuple[int, int, int]) -> None:
    batch_size, seq_len, accumulation = numbers
    with pytest.raises(ValueError, match="at least 1"):
        BatchSource(_counting(9, 9), batch_size, seq_len, 0, accumulation)


# Training batches -----------------------------------------------------------------------------


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 100))
def test_targets_are_the_inputs_shifted_by_exactly_one(seed: int, step: int, micro: int) -> None:
    source = BatchSource(_counting(500, 50), batch_size=3, seq_len=8, seed=seed)
    inputs_BT, targets_BT = source.training_batch(step, micro)
    assert inputs_BT.shape == targets_BT.shape == (3, 8)
    assert inputs_BT.dtype == targets_BT.dtype == np.int64
    assert inputs_BT.flags.c_contiguous
    assert targets_BT.flags.c_contiguous
    # Ids are places here: each row counts on by one, each target is one further.
    assert np.array_equal(inputs_BT, inputs_BT[:, :1] + np.arange(8))
    assert np.array_equal(targets_BT, inputs_BT + 1)
    assert np.array_equal(inputs_BT[:, 0], source.training_offsets(step, micro))


def test_batches_depend_on_seed_step_and_micro_batch_alone() -> None:
    def source(seed: int = 7) -> BatchSource:
        return BatchSource(_counting(5000, 50), batch_size=4, seq_len=8, seed=seed)

    through = source()
    in_order = [through.training_batch(step, micro)[0] for step in range(5) for micro in range(2)]
    resumed = source()
    backwards = [
        resumed.training_batch(step, micro)[0] for step in reversed(range(5)) for micro in (1, 0)
    ][::-1]
    assert np.array_equal(in_order, backwards)
    different = {batch.tobytes() for batch in in_order}
    different |= {source(8).training_batch(0, 0)[0].tobytes()}
    assert len(different) == 11


def test_every_token_is_learned_from_the_last_one_included() -> None:
    source = BatchSource(_counting(40, 20), batch_size=16, seq_len=7, seed=3)
    batches = [source.training_batch(step) for step in range(200)]
    inputs = np.concatenate([inputs_BT for inputs_BT, _ in batches])
    targets = np.concatenate([targets_BT for _, targets_BT in batches])
    assert set(inputs.flat) == set(range(39))
    assert set(targets.flat) == set(range(1, 40))
    assert set(inputs[:, 0]) == set(range(40 - 7))


def test_places_are_uniform() -> None:
    source = BatchSource(_counting(107, 20), batch_size=64, seq_len=7, seed=3)
    offsets = np.concatenate([source.training_offsets(step, 1) for step in range(500)])
    counts = np.bincount(offsets, minlength=100)
    assert len(counts) == 100
    expected = len(offsets) / 100
    assert ((counts - expected) ** 2 / expected).sum() < 99 + 6 * np.sqrt(2 * 99)


def test_the_only_place_there_is() -> None:
    source = BatchSource(_counting(9, 9), batch_size=2, seq_len=8, seed=0)
    assert source.training_offsets(0).tolist() == [0, 0]


def test_epochs_count_learned_tokens() -> None:
    source = BatchSource(_counting(1000, 50), 4, 25, seed=0, accumulation_steps=2)
    assert source.tokens_per_step == 200
    assert [source.epoch_of(step) for step in (0, 1, 5, 10)] == [0.0, 0.2, 1.0, 2.0]


# Validation batches ---------------------------------------------------------------------------


@given(st.integers(2, 300), st.integers(1, 20), st.integers(1, 7), st.none() | st.integers(1, 400))
def test_validation_covers_what_it_says_without_overlap(
    length: int, seq_len: int, batch_size: int, max_tokens: int | None
) -> None:
    if length <= seq_len:
        length += seq_len
    source = BatchSource(_counting(length, length), batch_size, seq_len, seed=0)
    batches = source.validation_batches(max_tokens)
    found = list(batches)
    assert len(found) == len(batches)
    targets = np.concatenate([targets_BT.reshape(-1) for _, targets_BT in found])
    assert all(np.array_equal(inputs_BT + 1, targets_BT) for inputs_BT, targets_BT in found)
    assert all(inputs_BT.shape == (batch_size, seq_len) for inputs_BT, _ in found[:-1])
    assert 1 <= len(found[-1][0]) <= batch_size
    assert len(targets) == len(set(targets)) == batches.tokens
    assert np.array_equal(targets, batches.target_positions())
    assert batches.tokens + batches.tokens_left_out == length - 1
    if max_tokens is None or max_tokens >= length:
        assert batches.tokens_left_out < seq_len
    else:
        assert batches.tokens <= max(max_tokens, seq_len)
    if max_tokens is not None and batches.tokens_left_out >= seq_len:
        assert batches.tokens + seq_len > max_tokens


def test_a_limit_spreads_sequences_over_the_whole_part() -> None:
    source = BatchSource(_counting(2000, 1001), batch_size=4, seq_len=10, seed=0)
    assert source.validation_batches().starts.tolist() == list(range(0, 1000, 10))
    assert source.validation_batches(50).starts.tolist() == [100, 300, 500, 700, 900]
    assert source.validation_batches(1).starts.tolist() == [500]


def test_validation_is_the_same_every_time() -> None:
    first, second = (
        [inputs_BT.tobytes() for inputs_BT, _ in BatchSource(
            _counting(500, 100), 3, 8, seed=seed).validation_batches(60)]
        for seed in (1, 2)
    )  # fmt: skip
    batches = BatchSource(_counting(500, 100), 3, 8, seed=1).validation_batches(60)
    again = [[inputs_BT.tobytes() for inputs_BT, _ in batches] for _ in range(2)]
    assert first == second == again[0] == again[1]


def test_a_real_text_goes_all_the_way() -> None:
    tokenizer = train_tokenizer_for_split("auto", TEXT, 64)
    source = BatchSource(encode_dataset(tokenizer, TEXT), batch_size=2, seq_len=16, seed=1)
    inputs_BT, targets_BT = source.training_batch(0)
    for row, start in enumerate(source.training_offsets(0)):
        assert tokenizer.decode(inputs_BT[row]) == TEXT[start : start + 16]
        assert tokenizer.decode(targets_BT[row]) == TEXT[start + 1 : start + 17]
    for inputs_BT, _ in source.validation_batches():
        assert all(tokenizer.decode(row) in TEXT[2700:] for row in inputs_BT)
