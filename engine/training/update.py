"""One update of the weights: forward and backward of each micro-batch, clip, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from engine.models.decoder import Decoder
from engine.run_spec import RunSpec
from engine.training.master_weights import MasterWeights
from engine.training.optimizer_choice import build_optimizer

Batch = tuple[torch.Tensor, torch.Tensor]


def set_up(model: Decoder, run: RunSpec, *, in_fp32: bool) -> None:
    """Let ``model`` compute as the run asks; ``in_fp32``: its 16-bit scores rather in fp32.

    Written out (with dropout the CPU has no other way) torch computes them so by itself.
    """
    model.gradient_checkpointing = run.gradient_checkpointing
    model.loss_chunk = run.loss_chunk
    model.attention_kernel = run.attention
    fused = not model.spec.dropout and run.attention != "materialised"
    model.attention_in_fp32 = in_fp32 and fused


class Learner:
    """A model with its optimizer.

    ``forward`` is what training calls: the model itself, or a compiled form of it. Validation
    and samples always use ``model``.
    """

    def __init__(
        self,
        model: nn.Module,
        run: RunSpec,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.model = model
        self.forward: Callable[..., Any] = model
        self.masters = MasterWeights(model)
        self.optimizer = build_optimizer(self.masters.weights.values(), run)
        self._autocast = autocast
        self._grad_clip = run.grad_clip

    def gradients(self, batches: Iterable[Batch], count: int) -> torch.Tensor:
        """Leave the mean gradient of ``count`` micro-batches on the weights; return the mean loss.

        Each batch is (inputs_BT, targets_BT), int64. The mean over micro-batches of equal size
        equals the gradient of one batch as large as all of them.
        """
        self.model.train()
        self.masters.clear_gradients()
        total: torch.Tensor | None = None
        for inputs_BT, targets_BT in batches:
            with self._autocast():
                loss = self.forward(inputs_BT, targets_BT).loss / count
            loss.backward()
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None, "an update needs at least one batch"
        return total.float()

    def clip(self) -> torch.Tensor:
        """Scale the gradient down to ``grad_clip`` where it is longer; return its true length."""
        gradients = self.masters.take_gradients()
        norm: torch.Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if self._grad_clip > 0:
            scale = torch.clamp(self._grad_clip / (norm + 1e-6), max=1.0)
            torch._foreach_mul_(gradients, scale)
        return norm

    def apply(self, rate: float) -> None:
        """Update the weights with learning rate ``rate`` and free the gradients."""
        self.optimizer.step(rate)
        self.masters.give_back()
        self.masters.clear_gradients()
