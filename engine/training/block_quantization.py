"""Numbers in 8 bits: blocks that share a scale, and a code map that is fine near zero.

Dettmers et al., "8-bit optimizers via block-wise quantization" (2022, arXiv:2110.02861). A block
of 256 numbers is divided by its largest magnitude; each quotient is then one of 256 values of a
map that covers seven decades (their "dynamic tree"): the decade below 1 with the most values, each
decade further down with half as many. A block's own scale keeps one large number from spoiling
the precision of the others.
"""

from __future__ import annotations

import torch

from engine.cost.optimizer_memory import BLOCK, CELLS, PIECE

CODES = 256
_DECADES = 7
_CELL_BITS = 16
# Smallest normal fp32 number: a block of zeros is divided by it, and stays zeros.
_TINY = torch.finfo(torch.float32).tiny


def code_map(*, signed: bool) -> torch.Tensor:
    """The 256 values of a code in rising order, fp64: from -1 to 1, or from 0 to 1.

    The decade that ends at 10⁻ᵏ holds the middles of 2⁶⁻ᵏ equal parts of it (unsigned: 2⁷⁻ᵏ), of
    either sign; 0 and 1 complete the map.
    """
    values = [0.0, 1.0]
    for below in range(_DECADES):
        top = 10.0**-below
        parts = 2 ** (_DECADES - 1 - below + (0 if signed else 1))
        width = 0.9 * top / parts
        middles = [0.1 * top + (at + 0.5) * width for at in range(parts)]
        values += middles + ([-middle for middle in middles] if signed else [])
    return torch.tensor(sorted(values), dtype=torch.float64)


class Quantizer:
    """Fp32 numbers to codes and scales, and back. All tables are on ``device``.

    A code is found without a search: the upper 16 bits of an fp32 number name its cell, a cell
    holds at most one bound between two values of the map, so one comparison decides. (It takes a
    tenth of the time of torch.bucketize on a CPU.)

    With ``signed`` off, for mean squares, numbers above zero never become zero: an element whose
    square is lost but whose mean is not would leap by mean / epsilon.
    """

    def __init__(self, device: torch.device, *, signed: bool) -> None:
        exact = code_map(signed=signed)
        bounds = ((exact[1:] + exact[:-1]) / 2).float()
        if not signed:
            bounds[0] = 0.0
        patterns = torch.arange(CELLS, dtype=torch.int64) - CELLS // 2
        first = _number(patterns << _CELL_BITS)
        last = _number((patterns << _CELL_BITS) + 2**_CELL_BITS - 1)
        low = torch.searchsorted(bounds, torch.minimum(first, last))
        high = torch.searchsorted(bounds, torch.maximum(first, last))
        inside = torch.where(low < high, bounds[low.clamp(max=CODES - 2)], torch.inf)
        self.map = exact.float().to(device)
        self.codes = low.to(torch.uint8).to(device)
        self.bounds = inside.to(device)

    @property
    def tables(self) -> tuple[torch.Tensor, ...]:
        """Everything that it keeps on the device."""
        return self.map, self.codes, self.bounds

    def quantize(
        self, values_NK: torch.Tensor, codes_NK: torch.Tensor, scales_N: torch.Tensor
    ) -> None:
        """Write codes (uint8) and scales (fp32) of N blocks of K fp32 numbers."""
        scales_N.copy_(torch.linalg.vector_norm(values_NK, torch.inf, dim=1))
        parts_NK = values_NK / scales_N.clamp(min=_TINY).unsqueeze(1)
        cells = (parts_NK.view(torch.int32) >> _CELL_BITS).add_(CELLS // 2).flatten()
        bounds = self.bounds.index_select(0, cells)
        above = parts_NK.flatten() > bounds
        del bounds
        codes_NK.copy_(self.codes.index_select(0, cells).add_(above).view_as(codes_NK))

    def dequantize(self, codes_NK: torch.Tensor, scales_N: torch.Tensor) -> torch.Tensor:
        """The fp32 numbers (N, K) that codes and scales stand for."""
        values = self.map.index_select(0, codes_NK.flatten().to(torch.int32))
        return values.view(codes_NK.shape).mul_(scales_N.unsqueeze(1))


def _number(patterns: torch.Tensor) -> torch.Tensor:
    """The fp32 numbers whose bits are these (int64 of 32 bits, signed)."""
    return patterns.to(torch.int32).view(torch.float32)


def pieces(numbers: int) -> list[tuple[slice, slice, int]]:
    """Cut so many numbers into pieces of whole blocks, of at most PIECE numbers.

    Each is (its numbers, its blocks, numbers in a block). A last block that is not full is a
    piece of its own.
    """
    whole = numbers // BLOCK * BLOCK
    found = []
    for start in range(0, whole, PIECE):
        stop = min(start + PIECE, whole)
        found.append((slice(start, stop), slice(start // BLOCK, stop // BLOCK), BLOCK))
    if whole < numbers:
        rest = slice(whole // BLOCK, whole // BLOCK + 1)
        found.append((slice(whole, numbers), rest, numbers - whole))
    return found
