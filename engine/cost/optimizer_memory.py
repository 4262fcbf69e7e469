"""What an optimizer keeps of each weight, and what an update takes for a moment. Exact bytes.

Pure integers from the list of weights; engine.training holds its optimizers to these figures by
tests, and reads the sizes of blocks and pieces from here so that they are said once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from engine.families.weight import Weight

# The 8-bit optimizer: numbers that share one scale, weights too small to be worth it, and how
# many numbers are worked on at once.
BLOCK = 256
LEAST_QUANTIZED = 4_096
PIECE = 1 << 20
# Bytes for each number of a piece at its fullest: the mean, the same divided by its scale, the
# number's cell, and the bound in that cell (4 each), whether it lies above it (1).
_PIECE_NUMBER_BYTES = 17
# Cells of the table that quantizes: the upper 16 bits of an fp32 number.
CELLS = 1 << 16
# For mean and square: a code (1 byte) and a bound (4) in each cell, and the map of 256 values.
_TABLE_BYTES = 2 * (5 * CELLS + 4 * 256)

_COPIES = {"adamw": 2, "sgd-momentum": 1, "sgd": 0}


def is_quantized(numbers: int) -> bool:
    """Whether the 8-bit optimizer keeps the state of a weight of so many numbers in 8 bits."""
    return numbers >= LEAST_QUANTIZED


def blocks(numbers: int) -> int:
    """Blocks that so many numbers are cut into; the last one may be shorter."""
    return -(-numbers // BLOCK)


def state_bytes(optimizer: str, weights: Iterable[Weight]) -> int:
    """The state that stays between updates and goes into checkpoints.

    adamw: mean and square, fp32. sgd-momentum: one running sum. sgd: nothing. adafactor: a
    number for each row and each column of a matrix, one for each number of a vector (Shazeer
    and Stern 2018). adamw-8bit: mean and square with a byte a number and an fp32 scale a block
    (Dettmers et al. 2022); both in fp32 for small weights.
    """
    return sum(weight.copies * _state_of_one(optimizer, weight.shape) for weight in weights)


def _state_of_one(optimizer: str, shape: tuple[int, ...]) -> int:
    numbers = math.prod(shape)
    if optimizer == "adafactor":
        return 4 * (sum(shape) if len(shape) > 1 else numbers)
    if optimizer == "adamw-8bit":
        return 2 * (numbers + 4 * blocks(numbers)) if is_quantized(numbers) else 8 * numbers
    return 4 * _COPIES[optimizer] * numbers


def table_bytes(optimizer: str, weights: Iterable[Weight]) -> int:
    """Constants beside the state: the tables of the 8-bit optimizer, where it needs any."""
    if optimizer != "adamw-8bit":
        return 0
    needed = any(is_quantized(math.prod(weight.shape)) for weight in weights)
    return _TABLE_BYTES if needed else 0


def update_bytes(optimizer: str, weights: Iterable[Weight]) -> int:
    """What the update takes for a moment, at its fullest.

    Weights are updated one after another, so the largest counts. adafactor works in the
    gradient's place and needs one factor for each row or column; adamw-8bit unpacks a piece of
    whole blocks at a time. The others work in place.
    """
    shapes = [weight.shape for weight in weights]
    if optimizer == "adafactor":
        return 4 * max(max(shape) for shape in shapes)
    if optimizer == "adamw-8bit":
        sizes = [math.prod(shape) for shape in shapes]
        whole = (size // BLOCK * BLOCK for size in sizes if is_quantized(size))
        return _PIECE_NUMBER_BYTES * min(PIECE, max(whole, default=0))
    return 0
