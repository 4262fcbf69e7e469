"""What the optimizer really updates: the model's own weights, or an fp32 copy of them.

A bf16 number has 8 significant bits. Next to 1.0 the spacing is 2⁻⁷, so an update of a norm's
scale by a learning rate of 1e-3 is rounded away every time and the scale never moves. Training
in pure bf16 therefore keeps every weight a second time in fp32 (Micikevicius et al., "Mixed
precision training", 2018): gradients are converted, the fp32 copy is updated, and the model
gets the copy rounded to bf16. It costs 4 more bytes a parameter than bf16 alone; without it the
run would look healthy and learn less.
"""

from __future__ import annotations

import torch
from torch import nn


class MasterWeights:
    """fp32 weights by name. Those of an fp32 model are its own parameters, not copies."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())
        self.weights: dict[str, torch.Tensor] = {
            name: parameter
            if parameter.dtype == torch.float32
            else parameter.detach().float().requires_grad_()
            for name, parameter in self._parameters.items()
        }
        self._copied = [n for n, w in self.weights.items() if w is not self._parameters[n]]

    def take_gradients(self) -> list[torch.Tensor]:
        """Move the model's gradients to the fp32 weights (converted where they are copies)."""
        for name in self._copied:
            parameter = self._parameters[name]
            if parameter.grad is not None:
                self.weights[name].grad = parameter.grad.float()
                parameter.grad = None
        return [weight.grad for weight in self.weights.values() if weight.grad is not None]

    def clear_gradients(self) -> None:
        """Free all gradients."""
        for name, parameter in self._parameters.items():
            parameter.grad = None
            self.weights[name].grad = None

    @torch.no_grad()
    def give_back(self) -> None:
        """Round the updated fp32 copies into the model (nothing to do for an fp32 model)."""
        for name in self._copied:
            self._parameters[name].copy_(self.weights[name])
