"""Measures the loss on text that is not learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from engine.backends.torch_backend import TorchBackend
from engine.data.dataset import BatchSource, ValidationBatches
from engine.models.decoder import Decoder, evaluating
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.update import Batch

# What a batch of validation may take where training's own batches are small.
_ROOM_BYTES = 32 << 20


def validation_sequences(source: BatchSource, run: RunSpec, spec: ModelSpec) -> ValidationBatches:
    """The sequences to measure on, in batches of a size that is fast.

    Batches of training's size waste time where they are small. Nothing is kept for a backward
    pass here, so larger ones fit: as many sequences as take _ROOM_BYTES in scores of the
    vocabulary (three fp32 copies) and in the widest layer, at least as many as training's. The
    tokens are the same with every size.
    """
    numbers = 3 * spec.vocab_size + 3 * spec.mlp_dim + 8 * spec.hidden_dim
    scores = spec.num_heads * source.seq_len if spec.position == "alibi" else 0
    fitting = _ROOM_BYTES // (4 * source.seq_len * (numbers + scores))
    return ValidationBatches(
        source.dataset.validation, max(source.batch_size, fitting), source.seq_len,
        run.validation_tokens,
    )  # fmt: skip


def validation_loss(
    model: Decoder,
    batches: Iterable[Batch],
    backend: TorchBackend,
    cancelled: Callable[[], bool],
) -> tuple[float, int] | None:
    """Mean loss in nats a token with dropout off, and the number of tokens; None if cancelled.

    Batches may differ in size: each token weighs the same. The device is asked once, at the end.
    """
    losses, counts = [], []
    with torch.no_grad(), evaluating(model), backend.autocast():
        for inputs_BT, targets_BT in batches:
            if cancelled():
                return None
            losses.append(model(inputs_BT, targets_BT).loss)
            counts.append(targets_BT.numel())
    assert counts, "there is no validation text"
    means = torch.stack(losses).cpu().double()
    weights = torch.tensor(counts, dtype=torch.float64)
    return float((means * weights).sum() / weights.sum()), sum(counts)
