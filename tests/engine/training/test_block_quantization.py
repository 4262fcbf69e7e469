"""Codes against a search of their own, and the bound on what is lost."""

from __future__ import annotations

import pytest
import torch

from engine.cost.optimizer_memory import BLOCK, PIECE, blocks
from engine.training.block_quantization import CODES, Quantizer, code_map, pieces

CPU = torch.device("cpu")


def numbers(count: int, seed: int = 0) -> torch.Tensor:
    """Numbers of both signs over ten decades, as moments are."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(count, generator=generator)
    return normal * 10.0 ** (-10 * torch.rand(count, generator=generator))


def there_and_back(values_NK: torch.Tensor, *, signed: bool) -> tuple[torch.Tensor, torch.Tensor]:
    quantizer = Quantizer(CPU, signed=signed)
    codes = torch.empty(values_NK.shape, dtype=torch.uint8)
    scales = torch.empty(len(values_NK))
    quantizer.quantize(values_NK, codes, scales)
    return codes, quantizer.dequantize(codes, scales)


@pytest.mark.parametrize("signed", [True, False])
def test_the_map_has_256_values_in_rising_order_up_to_one(signed: bool) -> None:
    values = code_map(signed=signed)
    assert len(values) == len(values.unique()) == CODES
    assert bool((values[1:] > values[:-1]).all())
    assert float(values[-1]) == 1.0
    assert 0.0 in values.tolist()
    if signed:  # all but 0 and 1 come with both signs
        inner = values[(values != 0) & (values != 1)]
        assert torch.equal(inner, -inner.flip(0))
    else:
        assert float(values[0]) == 0.0


def test_each_decade_has_half_the_values_of_the_one_above() -> None:
    for signed, most in ((True, 64), (False, 128)):
        values = code_map(signed=signed)
        for below in range(7):
            top = 10.0**-below
            inside = int(((values > 0.1 * top) & (values < top)).sum())
            assert inside == most // 2**below


@pytest.mark.parametrize("signed", [True, False])
def test_codes_are_those_of_the_nearest_values(signed: bool) -> None:
    """Found here by looking at the distance to each of the 256 values, in 64 bits."""
    values = numbers(64 * BLOCK).view(-1, BLOCK)
    values = values if signed else values.square()
    codes, _ = there_and_back(values, signed=signed)
    scaled = values / values.abs().amax(1, keepdim=True)
    distance = (scaled.double().unsqueeze(-1) - code_map(signed=signed)).abs()
    if not signed:  # a number above zero does not become zero
        distance[..., 0] = torch.where(scaled > 0, torch.inf, distance[..., 0])
    chosen = distance.gather(-1, codes.long().unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(chosen, distance.amin(-1), rtol=0, atol=1e-8)


@pytest.mark.parametrize("signed", [True, False])
def test_every_value_of_the_map_and_both_sides_of_every_bound_are_hit(signed: bool) -> None:
    values = code_map(signed=signed)
    bounds = (values[1:] + values[:-1]) / 2
    edge = torch.tensor([1.0])  # makes the scale 1
    for at, (below, above) in enumerate(zip(bounds * (1 - 1e-6), bounds * (1 + 1e-6), strict=True)):
        low, high = sorted((float(below), float(above)))
        tested = torch.cat([edge, torch.tensor([low, float(values[at]), high])]).unsqueeze(0)
        codes, _ = there_and_back(tested, signed=signed)
        least = 1 if not signed and at == 0 else at
        assert codes[0, 1:].tolist() == [least, at, at + 1]


def test_what_is_lost_stays_within_half_a_gap_of_the_blocks_largest() -> None:
    values = numbers(100 * BLOCK, seed=1).view(-1, BLOCK)
    _, back = there_and_back(values, signed=True)
    largest = values.abs().amax(1, keepdim=True)
    relative = (values - back).abs() / largest
    assert float(relative.max()) <= 0.9 / 64 / 2 * 1.001
    # and near zero far below that: in the decade under 1e-3 a gap is 0.9e-3 / 8
    small = (values.abs() / largest) < 1e-3
    assert float(relative[small].max()) <= 0.9e-3 / 8 / 2 * 1.001
    assert bool(((back == 0) | (back.sign() == values.sign())).all())


def test_squares_keep_their_zeros_and_nothing_else_becomes_zero() -> None:
    values = torch.tensor([[0.0, 1e-45, 1e-30, 1e-9, 1.0]])
    codes, back = there_and_back(values, signed=False)
    assert codes.tolist() == [[0, 1, 1, 1, 255]]
    assert float(back[0, 0]) == 0.0
    assert float(back[0, 1]) > 0.0


def test_a_block_of_zeros_comes_back_as_zeros() -> None:
    for signed in (True, False):
        _, back = there_and_back(torch.zeros(2, BLOCK), signed=signed)
        assert torch.equal(back, torch.zeros(2, BLOCK))


def test_a_large_number_spoils_its_own_block_only() -> None:
    values = torch.full((2, BLOCK), 1e-9)
    values[0, 0] = 1.0
    _, back = there_and_back(values, signed=True)
    assert torch.equal(back[0, 1:], torch.zeros(BLOCK - 1))
    torch.testing.assert_close(back[1], values[1], rtol=0, atol=0)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 4_096, 5_000, PIECE, 2 * PIECE + 300])
def test_pieces_cover_every_number_once_and_are_bounded(count: int) -> None:
    at, block = 0, 0
    for piece, its_blocks, width in pieces(count):
        size = piece.stop - piece.start
        assert piece.start == at
        assert its_blocks.start == block
        assert size == width * (its_blocks.stop - its_blocks.start) <= PIECE
        at, block = piece.stop, its_blocks.stop
    assert (at, block) == (count, blocks(count))
