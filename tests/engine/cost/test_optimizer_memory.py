"""The integers against the tensors that the optimizers really make."""

from __future__ import annotations

import pytest
import torch

from engine.cost.optimizer_memory import (
    BLOCK,
    LEAST_QUANTIZED,
    PIECE,
    blocks,
    is_quantized,
    state_bytes,
    table_bytes,
    update_bytes,
)
from engine.cost.parameters import count
from engine.families.weight import Weight
from engine.presets import preset
from engine.run_spec import RunSpec, run_parameters
from engine.training.memory_meter import LiveStorages
from engine.training.optimizer_choice import build_optimizer

OPTIMIZERS = tuple(run_parameters()["optimizer"].choices or ())
SHAPES = (
    (4_096,), (4_095,), (64, 64), (70, 61), (1, 7), (3,), (2_100, 1_000), (333, 257), (9_001,),
)  # fmt: skip


def listed(*shapes: tuple[int, ...]) -> tuple[Weight, ...]:
    return tuple(Weight(str(at), "mlp", shape) for at, shape in enumerate(shapes))


@pytest.mark.parametrize("shapes", [SHAPES, SHAPES[:2], SHAPES[1:2], SHAPES[4:6], SHAPES[7:]])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_tables_and_update_are_those_of_the_real_thing(
    name: str, shapes: tuple[tuple[int, ...], ...]
) -> None:
    weights = [torch.zeros(shape, requires_grad=True) for shape in shapes]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer = build_optimizer(weights, RunSpec(optimizer=name))
    state = [tensor for kept in optimizer.state.values() for tensor in kept.values()]
    assert sum(tensor.nbytes for tensor in state) == state_bytes(name, listed(*shapes))
    assert sum(t.nbytes for t in optimizer.tables) == table_bytes(name, listed(*shapes))
    live = LiveStorages()
    live.add([*weights, *(w.grad for w in weights if w.grad is not None), *state])
    live.add(optimizer.tables)
    before = live.current_bytes
    with live:
        optimizer.step(1e-3)
    # AdamW makes one number, the count of steps; a norm or a mean is one more.
    assert 0 <= live.peak_bytes - before - update_bytes(name, listed(*shapes)) <= 8


def test_copies_count_each() -> None:
    one, many = Weight("a", "mlp", (128, 96)), Weight("a", "mlp", (128, 96), 12)
    for name in OPTIMIZERS:
        assert state_bytes(name, [many]) == 12 * state_bytes(name, [one])
        assert update_bytes(name, [many]) == update_bytes(name, [one])


def test_eight_bits_take_a_quarter_of_adamw_and_adafactor_next_to_nothing() -> None:
    weights = count(preset("tinyllama-1.1b").model).weights
    whole = state_bytes("adamw", weights)
    assert state_bytes("adamw-8bit", weights) == pytest.approx(0.2539 * whole, rel=1e-3)
    assert state_bytes("adafactor", weights) < whole / 1_000
    assert update_bytes("adamw-8bit", weights) == 17 * PIECE


def test_blocks() -> None:
    assert (BLOCK, LEAST_QUANTIZED) == (256, 4_096)
    assert [blocks(n) for n in (1, 256, 257, 512)] == [1, 1, 2, 2]
    assert (is_quantized(4_095), is_quantized(4_096)) == (False, True)
