"""Measures the loss on text that is not learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from engine.backends.torch_backend import TorchBackend
from engine.cost.passes import fitting_sequences
from engine.data.dataset import BatchSource, ValidationBatches
from engine.models.decoder import Decoder, evaluating
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.update import Batch


def validation_sequences(source: BatchSource, run: RunSpec, spec: ModelSpec) -> ValidationBatches:
    """The sequences to measure on, in batches of a size that is fast, and at least training's.

    The tokens are the same with every size.
    """
    fitting = fitting_sequences(spec, source.seq_len)
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
    measured = batch_losses(model, batches, backend, cancelled)
    if measured is None:
        return None
    losses, counts = measured
    assert counts, "there is no validation text"
    means = torch.stack(losses).cpu().double()
    weights = torch.tensor(counts, dtype=torch.float64)
    return float((means * weights).sum() / weights.sum()), sum(counts)


def batch_losses(
    model: Decoder,
    batches: Iterable[Batch],
    backend: TorchBackend,
    cancelled: Callable[[], bool],
) -> tuple[list[torch.Tensor], list[int]] | None:
    """Each batch's mean loss, on the device, and its number of tokens; None if cancelled."""
    losses, counts = [], []
    with torch.no_grad(), evaluating(model), backend.autocast():
        for inputs_BT, targets_BT in batches:
            if cancelled():
                return None
            losses.append(model(inputs_BT, targets_BT).loss)
            counts.append(targets_BT.numel())
    return losses, counts
