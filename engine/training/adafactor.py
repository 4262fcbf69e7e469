"""Adafactor: AdamW's adaptive steps with hardly any state (Shazeer and Stern 2018, 1804.04235).

The mean square of a matrix's gradient is kept as the means of its rows and of its columns; the
product of both, divided by the mean of all, stands for the matrix. There is no first moment. An
update longer than 1 (root mean square) is shortened to 1, the paper's answer to the instability
that comes of a mean square that lags behind (its section 6, d = 1).

The paper's relative step sizes are off: the update is multiplied by the run's learning rate, as
with the other optimizers, not by the size of the weight as well.
"""

from __future__ import annotations

import math

import torch

from engine.training.optimizer import Optimizer

# Added to squares (the paper's ε₁), the longest update (d), and how fast memory lengthens.
_EPSILON = 1e-30
_LONGEST_UPDATE = 1.0
_DECAY_EXPONENT = -0.8


class Adafactor(Optimizer):
    """Adafactor without first moment, with decoupled weight decay.

    State of a matrix: "exp_avg_sq_row" (R, 1), "exp_avg_sq_col" (1, C); of a vector
    "exp_avg_sq". It works in the gradient's place: the largest thing an update makes is one
    factor for each row or column.
    """

    def _new_state(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        if weight.dim() < 2:
            return {"exp_avg_sq": torch.zeros_like(weight, requires_grad=False)}
        rows, columns = weight.shape
        return {
            "exp_avg_sq_row": torch.zeros(rows, 1, device=weight.device),
            "exp_avg_sq_col": torch.zeros(1, columns, device=weight.device),
        }

    def _update(
        self, weights: list[torch.Tensor], gradients: list[torch.Tensor], decay: float, rate: float
    ) -> None:
        newness = self.steps**_DECAY_EXPONENT  # 1 - β₂ₜ
        for weight, gradient in zip(weights, gradients, strict=True):
            if weight.dim() < 2:
                self._scale_vector(gradient, self.state[weight]["exp_avg_sq"], newness)
            else:
                self._scale_matrix(gradient, self.state[weight], newness)
            length = torch.linalg.vector_norm(gradient).div_(math.sqrt(gradient.numel()))
            gradient.div_(length.div_(_LONGEST_UPDATE).clamp_(min=1.0))
            weight.mul_(1 - rate * decay)
            weight.add_(gradient, alpha=-rate)

    @staticmethod
    def _scale_vector(gradient: torch.Tensor, square: torch.Tensor, newness: float) -> None:
        square.lerp_(gradient.square().add_(_EPSILON), newness)
        gradient.mul_(square.rsqrt())

    @staticmethod
    def _scale_matrix(
        gradient: torch.Tensor, state: dict[str, torch.Tensor], newness: float
    ) -> None:
        """Divide by the root of (rows · columns) / mean of rows, one factor after the other."""
        rows, columns = state["exp_avg_sq_row"], state["exp_avg_sq_col"]
        rows.lerp_(_mean_square(gradient, 1), newness)
        columns.lerp_(_mean_square(gradient, 0), newness)
        gradient.mul_((rows / rows.mean()).rsqrt_())
        gradient.mul_(columns.rsqrt())


def _mean_square(gradient: torch.Tensor, dim: int) -> torch.Tensor:
    """Mean of squares along ``dim``, without a matrix of squares."""
    norms: torch.Tensor = torch.linalg.vector_norm(gradient, dim=dim, keepdim=True)
    return norms.square_().div_(gradient.shape[dim]).add_(_EPSILON)
