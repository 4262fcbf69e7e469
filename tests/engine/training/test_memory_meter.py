"""The meter against sums that can be done by hand."""

from __future__ import annotations

from contextlib import nullcontext

import torch

from engine.cost.memory import training_memory
from engine.models.decoder import build
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.memory_meter import LiveStorages, MemoryMeter
from engine.training.update import Learner

MIB = 1 << 20


def test_counts_each_storage_once_until_it_is_freed() -> None:
    kept = torch.zeros(MIB // 4)
    with LiveStorages() as live:
        live.add([kept, kept.view(2, -1)])
        assert live.current_bytes == MIB
        more = kept + 1
        view = more[::2]
        assert live.current_bytes == 2 * MIB
        del more
        assert live.current_bytes == 2 * MIB, "a view keeps its storage alive"
        del view
        assert live.current_bytes == MIB
        torch.ones(2 * MIB // 4)
    assert live.peak_bytes == 3 * MIB


def test_a_real_step_takes_what_the_accounting_predicts() -> None:
    spec = ModelSpec(
        hidden_dim=64, num_layers=2, num_heads=4, num_kv_heads=4, mlp_dim=128, max_seq_len=64,
        vocab_size=96,
    )  # fmt: skip
    run = RunSpec(batch_size=8, precision="fp32")
    model = build(spec)
    learner = Learner(model, run, nullcontext)
    meter = MemoryMeter(torch.device("cpu"))
    ids = torch.zeros(8, 64, dtype=torch.long)

    def live() -> list[torch.Tensor]:
        state = [t for kept in learner.optimizer.state.values() for t in kept.values()]
        return [*model.parameters(), *state]

    assert meter.peak_bytes is None
    for _ in range(3):
        with meter.around_step(live):
            learner.gradients([(ids, ids)], 1)
            learner.clip()
            learner.apply(1e-3)
        meter.step_done()
    assert not meter.measuring()
    measured = meter.peak_bytes
    predicted = training_memory(spec, run).step_peak_bytes
    assert measured is not None
    assert abs(measured - predicted) <= 0.001 * measured, (measured, predicted)


def test_the_first_validation_is_looked_at_and_no_other() -> None:
    meter = MemoryMeter(torch.device("cpu"))
    kept = torch.ones(MIB // 4)
    with meter.around_validation(lambda: [kept]):
        torch.ones(3 * MIB // 4)
    meter.validation_done()
    assert meter.peak_bytes is None, "no step was measured yet"
    with meter.around_validation(lambda: [kept]):
        torch.ones(9 * MIB // 4)
    meter.validation_done()
    with meter.around_step(lambda: [kept]):
        torch.ones(MIB // 4)
    meter.step_done()
    assert meter.peak_bytes == 4 * MIB
