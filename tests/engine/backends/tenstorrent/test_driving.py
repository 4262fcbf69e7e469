"""A run as a worker would drive it: text, schedule, validation, sample, checkpoint, torch."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from engine.backends.card.initial_weights import initial_weights
from engine.backends.tenstorrent.learner import Learner
from engine.backends.tenstorrent.numpy_kernels import NumpyKernels, RoundedOps
from engine.card_graph.ops import Ops
from engine.data.dataset import BatchSource, encode_dataset
from engine.data.tokenizers import train_tokenizer
from engine.models.decoder import build
from engine.run_spec import RunSpec
from engine.schedule import learning_rate
from engine.spec import ModelSpec
from engine.training import update as torchs
from engine.training.checkpoint import optimizer_tensors, read_tensors
from tests.engine.training.tiny import write_text

SPEC = ModelSpec(
    hidden_dim=32, num_layers=2, num_heads=2, num_kv_heads=1, mlp_dim=64, max_seq_len=32,
    vocab_size=32, init_std=0.1, dropout=0.05,
)  # fmt: skip
RUN = RunSpec(
    batch_size=4, steps=80, warmup_steps=5, learning_rate=1e-2, precision="bf16-mixed",
    accumulation_steps=2, validation_tokens=480,
)  # fmt: skip


def source_of(folder: Path) -> BatchSource:
    text = write_text(folder).read_text(encoding="utf-8")
    tokenizer = train_tokenizer("character", text, SPEC.vocab_size)
    dataset = encode_dataset(tokenizer, text, 0.9)
    return BatchSource(dataset, RUN.batch_size, 32, RUN.seed, RUN.accumulation_steps)


def train(card: Learner, source: BatchSource, first: int, last: int) -> list[float]:
    """The losses of steps ``first`` … ``last`` - 1."""
    losses = []
    for step in range(first, last):
        batches = (source.training_batch(step, micro) for micro in range(RUN.accumulation_steps))
        rate = learning_rate(RUN, step)
        update = card.update(batches, RUN.accumulation_steps, rate, seed=step)
        losses.append(update.loss)
    return losses


def test_a_card_that_rounds_learns_a_text_and_its_checkpoint_is_torchs(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    card = Learner(SPEC, RUN, RoundedOps(), initial_weights(SPEC, RUN.seed))
    validation = source.validation_batches(RUN.validation_tokens)
    before, tokens = card.validation_loss(validation)
    assert tokens == validation.tokens
    losses = train(card, source, 0, RUN.steps)
    after, _ = card.validation_loss(validation)
    assert losses[0] == pytest.approx(before, abs=0.3)
    assert after < 0.45 * before

    weights, state = tmp_path / "model.safetensors", tmp_path / "optimizer.safetensors"
    for path, tensors in ((weights, card.export_weights()), (state, card.export_state())):
        single = {name: array.astype(np.float32) for name, array in tensors.items()}
        safetensors.numpy.save_file(single, path)
    model = build(SPEC)
    learner = torchs.Learner(model, RUN, nullcontext)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    model.load_state_dict(read_tensors(weights, shapes))
    kept = {key: tensor.shape for key, tensor in optimizer_tensors(learner).items()}
    assert read_tensors(state, kept).keys() == kept.keys()
    model.eval()
    with torch.no_grad():
        parts = [
            (model(torch.from_numpy(inputs), torch.from_numpy(targets)).loss, targets.size)
            for inputs, targets in validation
        ]
        logits = model(torch.from_numpy(source.dataset.validation[None, :20].astype(np.int64)))
    torch_loss = sum(float(loss) * size for loss, size in parts) / tokens
    assert torch_loss == pytest.approx(after, rel=5e-3)
    assert logits.logits_BTV is not None
    scores = card.decoder.next_logits(source.dataset.validation[:20].astype(np.int64))
    np.testing.assert_allclose(scores, logits.logits_BTV[0, -1].numpy(), atol=0.15)


def test_a_resumed_run_is_the_run_that_was_never_interrupted(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    start = initial_weights(SPEC, RUN.seed)
    whole = Learner(SPEC, RUN, Ops(NumpyKernels()), start)
    expected = train(whole, source, 0, 12)
    first = Learner(SPEC, RUN, Ops(NumpyKernels()), start)
    assert train(first, source, 0, 7) == expected[:7]
    second = Learner(SPEC, RUN, Ops(NumpyKernels()), initial_weights(SPEC, 1))
    second.load(first.export_weights(), first.export_state(), first.optimizer.steps)
    assert train(second, source, 7, 12) == expected[7:]
