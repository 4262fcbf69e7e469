"""Linear and embedding layers whose weights wait for ``decoder.initialize``."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Linear(nn.Linear):
    """nn.Linear without its own random start: no time and no random numbers spent on it."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class Embedding(nn.Embedding):
    """nn.Embedding without its own random start."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


def to_compute_dtype(x: Tensor) -> Tensor:
    """``x`` in the number format that matrices are multiplied in: autocast's, or its own.

    Autocast would cast an input once for every linear that reads it, and keep each copy for the
    backward pass; cast here, query, key and value (or gate and up) share one copy.
    """
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        return x.to(torch.get_autocast_dtype(kind))
    return x
