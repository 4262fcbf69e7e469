"""Which phase of a training step the model is in, told from outside, without changing the step.

Going forward, modules say where they are (hooks on them). Going backward, the node of autograd's
graph that takes the gradient of a module's output says so before it works (a hook on the node):
the gradient of a block's output is complete exactly when the backward pass enters that block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from engine.cost.tape import (
    BACKWARD_BETWEEN,
    BACKWARD_OF_EMBEDDING,
    BACKWARD_OF_FIRST,
    BACKWARD_OF_HEAD,
    BACKWARD_OF_LAST,
    BACKWARD_OF_LOSS,
    EMBEDDING,
    END_OF_FORWARD,
    FORWARD,
)
from engine.models.decoder import Decoder

Tell = Callable[[str], None]


@contextmanager
def phases_told(model: Decoder, tell: Tell) -> Iterator[None]:
    """While inside, ``tell`` is called with the name of each phase as ``model`` enters it.

    The names are those of engine.cost.tape. What a checkpointed block computes again
    belongs to the backward pass that asks for it.
    """
    handles: list[Any] = []

    def entering(module: nn.Module, phase: str) -> None:
        handles.append(module.register_forward_pre_hook(lambda *_: _forward(phase)))

    def leaving(module: nn.Module, phase: str) -> None:
        handles.append(module.register_forward_hook(lambda _m, _i, out: _mark(out, phase)))

    def _forward(phase: str) -> None:
        if not _going_back():
            tell(phase)

    def _mark(output: Any, phase: str) -> None:
        tensor = output if isinstance(output, Tensor) else output.loss
        if tensor is not None and tensor.grad_fn is not None and not _going_back():
            tensor.grad_fn.register_prehook(lambda _: tell(phase))

    blocks = list(model.model.layers)
    entering(model, EMBEDDING)
    entering(blocks[0], FORWARD)
    handles.append(
        blocks[0].register_forward_pre_hook(lambda _, args: _mark(args[0], BACKWARD_OF_EMBEDDING))
    )
    for block in blocks:
        leaving(block, BACKWARD_BETWEEN)
    leaving(blocks[0], BACKWARD_OF_FIRST)
    leaving(blocks[-1], BACKWARD_OF_LAST)
    handles.append(blocks[-1].register_forward_hook(lambda *_: _forward(END_OF_FORWARD)))
    leaving(model.lm_head, BACKWARD_OF_HEAD)
    leaving(model, BACKWARD_OF_LOSS)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _going_back() -> bool:
    """Whether autograd is at work on this thread."""
    return bool(torch._C._current_graph_task_id() != -1)
