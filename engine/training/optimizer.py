"""The optimizers, and which weights they pull towards zero.

AdamW is Loshchilov and Hutter, "Decoupled weight decay regularization" (2019); SGD's decay is
the classical one, added to the gradient. They are our own because torch.optim loads torch's
compiler when it makes an optimizer, which takes as long as loading torch itself and would keep a
person waiting at the start of every run; tests hold them to torch.optim, to the last bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

# Devices with one fused kernel for AdamW over all weights.
_FUSED_DEVICES = ("cpu", "cuda")
EPSILON = 1e-8


@dataclass(frozen=True, eq=False)
class Group:
    """Weights that share a decay."""

    weights: tuple[torch.Tensor, ...]
    decay: float


def decay_groups(parameters: Iterable[torch.Tensor], weight_decay: float) -> tuple[Group, ...]:
    """Matrices (two dimensions or more) decay, vectors do not.

    Vectors are the norms' scales and all biases: pulling a scale of 1 towards 0 fights the
    network instead of keeping it simple. Embedding matrices decay with the others, as in GPT-2's
    and nanoGPT's training; when tied, the same matrix is the output head.
    """
    weights = list(parameters)
    matrices = tuple(weight for weight in weights if weight.dim() >= 2)
    vectors = tuple(weight for weight in weights if weight.dim() < 2)
    groups = (Group(matrices, weight_decay), Group(vectors, 0.0))
    return tuple(group for group in groups if group.weights)


class Optimizer(ABC):
    """Updates fp32 weights from their ``grad``, which it may overwrite.

    ``state`` holds what it remembers of each weight, by kind; all of it goes into checkpoints.
    ``tables`` are constants that it keeps on the device beside that. ``steps`` counts the
    updates so far.
    """

    kinds: tuple[str, ...] = ()
    tables: tuple[torch.Tensor, ...] = ()

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = tuple(groups)
        self.steps = 0
        self.state: dict[torch.Tensor, dict[str, torch.Tensor]] = {
            weight: self._new_state(weight) for group in self.groups for weight in group.weights
        }

    def _new_state(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        """What is remembered of ``weight`` before the first update: a zero for each number."""
        return {kind: torch.zeros_like(weight, requires_grad=False) for kind in self.kinds}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update with learning rate ``rate``; every weight needs a gradient."""
        self.steps += 1
        for group in self.groups:
            weights = list(group.weights)
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            assert len(gradients) == len(weights), "a weight has no gradient"
            self._update(weights, gradients, group.decay, rate)

    def _of_kind(self, kind: str, weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [self.state[weight][kind] for weight in weights]

    @abstractmethod
    def _update(
        self, weights: list[torch.Tensor], gradients: list[torch.Tensor], decay: float, rate: float
    ) -> None: ...


class AdamW(Optimizer):
    """Adam with decay that is decoupled from the gradient."""

    kinds = ("exp_avg", "exp_avg_sq")

    def __init__(self, groups: Sequence[Group], beta1: float, beta2: float) -> None:
        super().__init__(groups)
        self._beta1, self._beta2 = beta1, beta2

    def _update(
        self, weights: list[torch.Tensor], gradients: list[torch.Tensor], decay: float, rate: float
    ) -> None:
        means = self._of_kind("exp_avg", weights)
        squares = self._of_kind("exp_avg_sq", weights)
        if weights[0].device.type in _FUSED_DEVICES:
            count = torch.tensor(float(self.steps), device=weights[0].device)
            torch._fused_adamw_(
                weights, gradients, means, squares, [], [count] * len(weights), lr=rate,
                beta1=self._beta1, beta2=self._beta2, weight_decay=decay, eps=EPSILON,
                amsgrad=False, maximize=False,
            )  # fmt: skip
        else:
            self._update_by_parts(weights, gradients, means, squares, decay, rate)

    def _update_by_parts(
        self, weights: list[torch.Tensor], gradients: list[torch.Tensor],
        means: list[torch.Tensor], squares: list[torch.Tensor], decay: float, rate: float,
    ) -> None:  # fmt: skip
        for weight, gradient, mean, square in zip(weights, gradients, means, squares, strict=True):
            weight.mul_(1 - rate * decay)
            mean.lerp_(gradient, 1 - self._beta1)
            square.mul_(self._beta2).addcmul_(gradient, gradient, value=1 - self._beta2)
            spread = (square / (1 - self._beta2**self.steps)).sqrt_().add_(EPSILON)
            weight.addcdiv_(mean, spread, value=-rate / (1 - self._beta1**self.steps))


class SGD(Optimizer):
    """Plain gradient descent."""

    def _update(
        self, weights: list[torch.Tensor], gradients: list[torch.Tensor], decay: float, rate: float
    ) -> None:
        if decay:
            torch._foreach_add_(gradients, weights, alpha=decay)
        torch._foreach_add_(weights, self._direction(weights, gradients), alpha=-rate)

    def _direction(
        self, weights: list[torch.Tensor], gradients: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        return gradients


class Momentum(SGD):
    """SGD along a running sum of gradients that fades by ``momentum`` a step (Polyak 1964)."""

    kinds = ("momentum_buffer",)

    def __init__(self, groups: Sequence[Group], momentum: float) -> None:
        super().__init__(groups)
        self._momentum = momentum

    def _direction(
        self, weights: list[torch.Tensor], gradients: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        sums = self._of_kind("momentum_buffer", weights)
        torch._foreach_mul_(sums, self._momentum)
        torch._foreach_add_(sums, gradients)
        return sums
