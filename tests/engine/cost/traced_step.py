"""The memory of a real training step, without doing its arithmetic.

Model, update and autograd are the real ones; tensors are fake: they have shapes and storages but
no data. Every live storage counts once, from the moment an operation makes it.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from engine.models.decoder import Decoder
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.memory_meter import LiveStorages
from engine.training.update import Learner


def traced_peak_bytes(spec: ModelSpec, run: RunSpec) -> int:
    """The peak of the second update, which has the optimizer's state already."""
    with FakeTensorMode():
        autocast = nullcontext
        if run.precision == "bf16-mixed":
            autocast = partial(torch.autocast, "cpu", dtype=torch.bfloat16)  # type: ignore[assignment]
        learner = Learner(_model(spec, run), run, autocast)
        _update(learner, spec, run)
        live = LiveStorages()
        live.add(learner.model.parameters())
        live.add(learner.masters.weights.values())
        for state in learner.optimizer.state.values():
            live.add(value for value in state.values() if isinstance(value, torch.Tensor))
        live.add(learner.optimizer.tables)
        with live:
            _update(learner, spec, run)
        return live.peak_bytes


def _model(spec: ModelSpec, run: RunSpec) -> Decoder:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if run.precision == "bf16" else torch.float32)
    try:
        model = Decoder(spec)
    finally:
        torch.set_default_dtype(before)
    model.gradient_checkpointing = run.gradient_checkpointing
    model.attention_in_fp32 = run.device == "cpu" and not spec.dropout
    return model


def _update(learner: Learner, spec: ModelSpec, run: RunSpec) -> None:
    shape = (run.batch_size, run.sequence_length(spec))
    batches = (
        (torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64))
        for _ in range(run.accumulation_steps)
    )
    learner.gradients(batches, run.accumulation_steps)
    learner.clip()
    learner.apply(run.learning_rate)
