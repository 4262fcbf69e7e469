"""Keys and values of tokens already read, so that generation computes only the new one."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.spec import ModelSpec


class KVCache:
    """Keys and values of all layers for up to ``capacity`` tokens.

    2·L·K·h elements a token and sequence. ``length`` tokens are held; ``Decoder.forward`` appends
    the tokens it reads and refuses more than fit. ``clear`` starts over without new memory.
    """

    def __init__(
        self, spec: ModelSpec, capacity: int, *, batch_size: int = 1,
        device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        self.capacity = min(capacity, spec.max_seq_len)
        self.length = 0
        shape = (spec.num_layers, batch_size, spec.num_kv_heads, self.capacity, spec.head_size)
        self._k_LBKSh = torch.empty(shape, device=device, dtype=dtype)
        self._v_LBKSh = torch.empty(shape, device=device, dtype=dtype)

    def clear(self) -> None:
        """Forget everything."""
        self.length = 0

    def extend(self, layer: int, k_BKTh: Tensor, v_BKTh: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new keys and values of one layer; return all of that layer's so far."""
        end = self.length + k_BKTh.shape[2]
        self._k_LBKSh[layer, :, :, self.length : end] = k_BKTh
        self._v_LBKSh[layer, :, :, self.length : end] = v_BKTh
        return self._k_LBKSh[layer, :, :, :end], self._v_LBKSh[layer, :, :, :end]
