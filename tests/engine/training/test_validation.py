from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.backends.torch_backend import TorchBackend
from engine.data.dataset import BatchSource, TokenDataset
from engine.models.decoder import build
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.validation import validation_loss, validation_sequences
from tests.engine.training.tiny import SPEC

IDS = np.random.default_rng(0).integers(0, 32, 5_000).astype(np.uint16)


def source(batch_size: int, seq_len: int = 16) -> BatchSource:
    return BatchSource(TokenDataset(IDS, IDS, 32), batch_size, seq_len, seed=0)


def measured(batch_size: int) -> tuple[float, int]:
    run = RunSpec(batch_size=batch_size, validation_tokens=4_000)
    sequences = source(batch_size).validation_batches(run.validation_tokens)
    batches = ((torch.as_tensor(x), torch.as_tensor(y)) for x, y in sequences)
    backend = TorchBackend(torch.device("cpu"), "fp32")
    found = validation_loss(build(SPEC, seed=1), batches, backend, lambda: False)
    assert found is not None
    return found


def test_the_size_of_the_batches_does_not_move_the_loss() -> None:
    one, tokens = measured(3)
    for size in (1, 64, 250):
        assert measured(size) == (pytest.approx(one, abs=1e-6), tokens)


def test_small_batches_are_made_larger_over_the_very_same_tokens() -> None:
    run = RunSpec(batch_size=2, validation_tokens=4_000)
    ours = validation_sequences(source(2), run, SPEC)
    theirs = source(2).validation_batches(4_000)
    assert len(ours) < len(theirs) / 20
    assert np.array_equal(ours.target_positions(), theirs.target_positions())


@given(st.integers(2, 200_000), st.integers(1, 64), st.integers(1, 512))
def test_they_are_never_smaller_than_trainings_nor_take_more_than_their_room(
    vocabulary: int, batch_size: int, seq_len: int
) -> None:
    spec = ModelSpec(vocab_size=vocabulary, max_seq_len=512)
    run = RunSpec(batch_size=batch_size, validation_tokens=4_000)
    found = validation_sequences(source(batch_size, seq_len), run, spec)
    rows = max(len(inputs) for inputs, _ in found)
    assert rows >= min(batch_size, len(found.starts))
    assert rows <= batch_size or 12 * rows * seq_len * vocabulary <= 32 << 20
