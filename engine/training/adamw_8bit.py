"""AdamW with its two moments in 8 bits: a quarter of the memory of its state.

Dettmers et al. 2022 (arXiv:2110.02861): every update unpacks the moments, does AdamW's
arithmetic in fp32 and packs them again. Weights of fewer than 4,096 numbers keep fp32 moments:
there is nothing to win, and norms and biases are the most sensitive.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.cost.optimizer_memory import blocks, is_quantized
from engine.training.block_quantization import Quantizer, pieces
from engine.training.optimizer import EPSILON, AdamW, Group

_SCALE = "_scale"


class AdamW8bit(AdamW):
    """AdamW whose state is quantized block by block.

    State of a large weight: codes "exp_avg", "exp_avg_sq" (uint8, of the weight's shape) and
    fp32 "…_scale", one for each block of 256 numbers in the order of memory.
    """

    def __init__(self, groups: Sequence[Group], beta1: float, beta2: float) -> None:
        super().__init__(groups, beta1, beta2)
        large = next((weight for weight in self.state if is_quantized(weight.numel())), None)
        self._means = self._squares = None
        if large is not None:
            self._means = Quantizer(large.device, signed=True)
            self._squares = Quantizer(large.device, signed=False)
            self.tables = self._means.tables + self._squares.tables

    def _new_state(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        if not is_quantized(weight.numel()):
            return super()._new_state(weight)
        state = {}
        for kind in self.kinds:
            state[kind] = torch.zeros(weight.shape, dtype=torch.uint8, device=weight.device)
            state[kind + _SCALE] = torch.zeros(blocks(weight.numel()), device=weight.device)
        return state

    def _update(
        self, weights: list[torch.Tensor], gradients: list[torch.Tensor], decay: float, rate: float
    ) -> None:
        small: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        for weight, gradient in zip(weights, gradients, strict=True):
            if is_quantized(weight.numel()):
                self._update_large(weight, gradient, decay, rate)
            else:
                small[0].append(weight)
                small[1].append(gradient)
        if small[0]:
            super()._update(*small, decay, rate)

    def _update_large(
        self, weight: torch.Tensor, gradient: torch.Tensor, decay: float, rate: float
    ) -> None:
        """Piece by piece, so that what is unpacked at one time stays small."""
        flat = {kind: tensor.view(-1) for kind, tensor in self.state[weight].items()}
        flat |= {"weight": weight.view(-1), "gradient": gradient.flatten()}
        for numbers, these, width in pieces(weight.numel()):
            piece = {
                name: tensor[these] if name.endswith(_SCALE) else tensor[numbers].view(-1, width)
                for name, tensor in flat.items()
            }
            self._update_piece(piece, decay, rate)

    def _update_piece(self, piece: dict[str, torch.Tensor], decay: float, rate: float) -> None:
        assert self._means is not None
        assert self._squares is not None
        weight, gradient = piece["weight"], piece["gradient"]
        means = piece["exp_avg"], piece["exp_avg" + _SCALE]
        squares = piece["exp_avg_sq"], piece["exp_avg_sq" + _SCALE]
        mean = self._means.dequantize(*means).lerp_(gradient, 1 - self._beta1)
        self._means.quantize(mean, *means)
        square = self._squares.dequantize(*squares)
        square.mul_(self._beta2).addcmul_(gradient, gradient, value=1 - self._beta2)
        spread = (square / (1 - self._beta2**self.steps)).sqrt_().add_(EPSILON)
        weight.mul_(1 - rate * decay)
        weight.addcdiv_(mean, spread, value=-rate / (1 - self._beta1**self.steps))
        del mean, spread
        self._squares.quantize(square, *squares)
