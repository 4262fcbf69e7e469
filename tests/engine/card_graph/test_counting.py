"""The counted memory of a step against the ledger of one that really computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backends.card.initial_weights import initial_weights
from engine.backends.tenstorrent.learner import Learner
from engine.backends.tenstorrent.numpy_kernels import NumpyKernels
from engine.card_graph.layout import placements
from engine.card_graph.ops import Ops
from engine.parameter import Value
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.backends.tenstorrent.designs import card_specs, small, tokens
from tests.engine.card_graph.counting import PeakMemory, graph_peak_memory


def computed(spec: ModelSpec, run: RunSpec) -> PeakMemory:
    """The ledger of a second update, whose tables and state are there already."""
    card = Learner(spec, run, Ops(NumpyKernels()), initial_weights(spec, 0))
    length = run.sequence_length(spec)
    parts = [tokens(spec, run.batch_size, length, seed) for seed in range(run.accumulation_steps)]
    batches = [(part[:, :-1], part[:, 1:]) for part in parts]
    card.update(batches, len(batches), 1e-3)
    resident = card.ops.ledger.live_bytes
    card.ops.ledger.watch()
    card.update(batches, len(batches), 1e-3)
    assert card.ops.ledger.live_bytes == resident
    return PeakMemory(resident, card.ops.ledger.peak_bytes)


@settings(deadline=None, max_examples=25)
@given(spec=card_specs(), data=st.data())
def test_counting_is_what_computing_takes(spec: ModelSpec, data: st.DataObject) -> None:
    run = RunSpec(
        batch_size=data.draw(st.integers(1, 3)),
        seq_len=data.draw(st.none() | st.integers(1, spec.max_seq_len)),
        accumulation_steps=data.draw(st.integers(1, 3)),
        precision=data.draw(st.sampled_from(("bf16-mixed", "bf16"))),
        optimizer=data.draw(st.sampled_from(("adamw", "sgd-momentum", "sgd"))),
        grad_clip=data.draw(st.sampled_from((0.0, 1.0))),
        gradient_checkpointing=data.draw(st.booleans()),
    )
    assert graph_peak_memory(spec, run) == computed(spec, run)


@pytest.mark.parametrize(
    ("optimizer", "per_number"), [("sgd", 4), ("sgd-momentum", 8), ("adamw", 12)]
)
def test_resident_memory_is_weights_copies_state_and_tables(
    optimizer: str, per_number: int
) -> None:
    spec = small(position="none", vocab_size=64)
    found = graph_peak_memory(spec, RunSpec(optimizer=optimizer, precision="bf16-mixed"))
    expected = 0
    for place in placements(spec).values():
        numbers = max(place.stored[2], 32) * place.stored[3]
        expected += numbers * (per_number + (2 if len(place.shape) == 2 else 0))
    expected += 64 * 64 * 4 + 32 * 64 * 4  # the mask of 64 × 64, a row of 64 token numbers
    assert found.resident_bytes == expected


def test_forgetting_activations_saves_memory_and_a_larger_batch_takes_it() -> None:
    spec = small(num_layers=6)
    run = RunSpec(batch_size=4, precision="bf16-mixed")

    def peak(**changes: Value) -> int:
        return graph_peak_memory(spec, run.replace(**changes)).peak_bytes

    assert peak(gradient_checkpointing=True) < 0.7 * peak()
    assert peak(batch_size=8) > 1.5 * peak()
    assert peak(precision="bf16") < peak() < peak(precision="fp32")


def test_counting_a_large_model_takes_no_memory_of_its_own() -> None:
    """Seven billion parameters, of which no array is ever made."""
    spec = ModelSpec(
        hidden_dim=4096, num_layers=32, num_heads=32, num_kv_heads=8, mlp_dim=14_336,
        vocab_size=128_256, max_seq_len=8_192, tied_embeddings=False,
    )  # fmt: skip
    found = graph_peak_memory(spec, RunSpec(batch_size=1, precision="bf16"))
    numbers = sum(int(np.prod(place.shape)) for place in placements(spec).values())
    assert numbers > 8e9
    assert found.peak_bytes > found.resident_bytes > 14 * numbers
