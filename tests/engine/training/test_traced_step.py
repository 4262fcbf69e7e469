"""The tracer against real tensors, and against itself without its marks."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from engine.cost.passes import sampling_pass
from engine.cost.tape import BACKWARD_OF_FIRST, BACKWARD_OF_LAST, END_OF_FORWARD, UPDATE
from engine.models.decoder import build
from engine.models.generation import stream
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.memory_meter import LiveStorages
from engine.training.phase_marks import phases_told
from engine.training.traced_step import standing, traced_sampling, traced_step, update_told
from engine.training.update import Learner, set_up

SPEC = ModelSpec(
    hidden_dim=64, num_layers=3, num_heads=4, num_kv_heads=2, mlp_dim=128, max_seq_len=64,
    vocab_size=96,
)  # fmt: skip


def really_lived(spec: ModelSpec, run: RunSpec, *, told: bool) -> LiveStorages:
    """The second update, with real tensors; ``told``: with marks for its phases."""
    model = build(spec)
    set_up(model, run, in_fp32=False)
    learner = Learner(model, run, nullcontext)

    def update(tell: object = None) -> None:
        shape = (run.batch_size, run.sequence_length(spec))
        batches = (
            (torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long))
            for _ in range(run.accumulation_steps)
        )
        update_told(learner, batches, run, tell if callable(tell) else lambda _: None)

    update()
    live = LiveStorages()
    live.add(standing(learner))

    def tell(phase: str) -> None:
        live.phase = phase

    with live, phases_told(model, tell) if told else nullcontext():
        update(tell)
    return live


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gradient_checkpointing": True},
        {"accumulation_steps": 2},
        {"attention": "materialised", "optimizer": "sgd"},
    ],
)
def test_fake_tensors_live_as_real_ones_do(settings: dict[str, object]) -> None:
    run = RunSpec(batch_size=4).replace(**settings)  # type: ignore[arg-type]
    live, trace = really_lived(SPEC, run, told=True), traced_step(SPEC, run)
    assert trace.peak_bytes == live.peak_bytes
    for phase, size in trace.phases.items():
        assert live.peaks.get(phase, size) == size, phase


@pytest.mark.parametrize("again", [False, True])
def test_marks_change_nothing_of_the_step(again: bool) -> None:
    run = RunSpec(batch_size=4, gradient_checkpointing=again)
    marked, plain = (really_lived(SPEC, run, told=told) for told in (True, False))
    assert marked.peak_bytes == plain.peak_bytes


def test_phases_come_in_the_order_of_the_step_whatever_is_computed_again() -> None:
    plain = list(traced_step(SPEC, RunSpec(batch_size=2)).phases)
    again = list(traced_step(SPEC, RunSpec(batch_size=2, gradient_checkpointing=True)).phases)
    assert plain == again
    order = [END_OF_FORWARD, BACKWARD_OF_LAST, BACKWARD_OF_FIRST, UPDATE]
    assert [phase for phase in plain if phase in order] == order


def test_a_traced_sample_takes_no_less_than_a_real_one() -> None:
    run = RunSpec(prompts=("x" * 40,), sample_tokens=50)
    model = build(SPEC)
    learner = Learner(model, run, nullcontext)
    sizes = sampling_pass(SPEC, run)
    assert sizes.afresh, "the context overflows, which is read afresh"
    live = LiveStorages()
    live.add(standing(learner))
    with live:
        for _ in stream(model, [1] * 40, max_new_tokens=run.sample_tokens, alternatives=1):
            pass
    traced = traced_sampling(SPEC, run)
    assert live.peak_bytes == pytest.approx(traced, rel=0.01)
