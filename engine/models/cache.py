"""Keys and values of tokens already read, so that generation computes only the new one."""

from __future__ import annotations

from torch import Tensor

from engine.spec import ModelSpec


class KVCache:
    """Keys and values of all layers for up to ``capacity`` tokens of each sequence.

    2·L·K·h elements a token and sequence, in the type and place of the first keys written.
    ``length`` tokens are held: ``Decoder.forward`` appends the tokens it reads and refuses more
    than fit. ``clear`` starts over in the same memory.
    """

    def __init__(self, spec: ModelSpec, capacity: int | None = None) -> None:
        whole = spec.max_seq_len
        self.capacity = whole if capacity is None else min(capacity, whole)
        self.length = 0
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def clear(self) -> None:
        """Forget everything."""
        self.length = 0

    def extend(self, layer: int, k_BKTh: Tensor, v_BKTh: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new keys and values of one layer; return all of that layer's so far."""
        if layer not in self._layers:
            shape = (*k_BKTh.shape[:2], self.capacity, k_BKTh.shape[3])
            self._layers[layer] = (k_BKTh.new_empty(shape), v_BKTh.new_empty(shape))
        k_BKSh, v_BKSh = self._layers[layer]
        end = self.length + k_BKTh.shape[2]
        k_BKSh[:, :, self.length : end] = k_BKTh
        v_BKSh[:, :, self.length : end] = v_BKTh
        return k_BKSh[:, :, :end], v_BKSh[:, :, :end]
