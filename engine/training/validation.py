"""Measures the loss on text that is not learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from engine.backends.torch_backend import TorchBackend
from engine.models.decoder import Decoder, evaluating
from engine.training.update import Batch


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
