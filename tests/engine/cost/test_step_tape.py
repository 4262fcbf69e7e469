from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.cost.parameters import count
from engine.cost.step_tape import StepTape
from engine.cost.tape import END_OF_FORWARD, Moment
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs

PRECISIONS = st.sampled_from(("fp32", "bf16-mixed", "bf16"))
KERNELS = st.sampled_from(("auto", "fused", "materialised"))
CHUNKS = st.none() | st.integers(1, 40)


class EveryMoment(StepTape):
    """Also notes those that are less full than an earlier one of their phase."""

    def __init__(self, *settings: Any) -> None:
        self.all: list[Moment] = []
        super().__init__(*settings)

    def _take(self, each: int = 0, fixed: int = 0, gradients: int = 0) -> None:
        super()._take(each, fixed, gradients)
        self.all.append(self.alive())

    def _give(self, each: int = 0, fixed: int = 0) -> None:
        super()._give(each, fixed)
        self.all.append(self.alive())


@given(model_specs(), PRECISIONS, st.booleans(), st.booleans(), st.booleans(), KERNELS, CHUNKS)
def test_nothing_is_given_back_that_was_not_taken(
    spec: ModelSpec, precision: str, again: bool, held: bool, in_fp32: bool, kernel: str,
    chunk: int | None,
) -> None:  # fmt: skip
    tape = EveryMoment(spec, spec.max_seq_len, precision, again, held, in_fp32, kernel, chunk)
    tape.record()
    for moment in tape.all + tape.moments:
        assert min(moment[1:]) >= 0, moment


@given(model_specs(), PRECISIONS, st.booleans(), st.booleans(), st.booleans(), KERNELS, CHUNKS)
def test_at_the_end_only_gradients_and_a_trifle_are_left(
    spec: ModelSpec, precision: str, again: bool, held: bool, in_fp32: bool, kernel: str,
    chunk: int | None,
) -> None:  # fmt: skip
    tape = StepTape(spec, spec.max_seq_len, precision, again, held, in_fp32, kernel, chunk)
    tape.record()
    last = tape.alive()
    assert last.fixed == 0
    assert last.activations == 16 * tape.tokens
    assert last.logits == last.chunk == 0
    # On its way into the sum of a tied matrix, or into that of earlier batches. The head's is a
    # view but where it was cast, or computed by chunks: then the sum is a table of its own.
    a_view = chunk is None and precision != "bf16-mixed"
    tables = (1 + a_view if spec.tied_embeddings else 0) + (1 if held else 0)
    expected = count(spec).total + tables * spec.vocab_size * spec.hidden_dim
    assert last.gradients == tape.e * expected


@given(model_specs())
def test_the_phases_come_in_the_order_of_the_step(spec: ModelSpec) -> None:
    moments = StepTape(spec, spec.max_seq_len, "fp32", False, False).record()
    phases = list(dict.fromkeys(moment.phase for moment in moments))
    first = ["backward of the first block"] if spec.num_layers > 1 else []
    assert phases == [
        "embedding", "forward of the blocks", END_OF_FORWARD, "backward of the loss",
        "backward of the head", "backward of the last block", *first, "backward of the embedding",
    ]  # fmt: skip


@given(model_specs(), PRECISIONS, st.integers(1, 40))
def test_logits_in_chunks_do_not_grow_with_the_batch(
    spec: ModelSpec, precision: str, chunk: int
) -> None:
    tape = StepTape(spec, spec.max_seq_len, precision, False, False, loss_chunk=chunk)
    moments = tape.record()
    assert all(moment.logits == 0 for moment in moments)
    most = max(moment.chunk for moment in moments)
    assert most == 8 * min(chunk, spec.max_seq_len) * spec.vocab_size
