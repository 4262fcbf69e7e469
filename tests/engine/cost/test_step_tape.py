from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.cost.step_tape import StepTape
from engine.cost.tape import END_OF_FORWARD
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs

PRECISIONS = st.sampled_from(("fp32", "bf16-mixed", "bf16"))
KERNELS = st.sampled_from(("auto", "fused", "materialised"))


@given(model_specs(), PRECISIONS, st.booleans(), st.booleans(), st.booleans(), KERNELS)
def test_nothing_is_given_back_that_was_not_taken(
    spec: ModelSpec, precision: str, again: bool, held: bool, in_fp32: bool, kernel: str
) -> None:
    tape = StepTape(spec, spec.max_seq_len, precision, again, held, in_fp32, kernel)
    for moment in tape.record():
        assert min(moment[1:]) >= 0, moment


@given(model_specs(), PRECISIONS, st.booleans(), st.booleans(), st.booleans(), KERNELS)
def test_at_the_end_only_gradients_and_a_trifle_are_left(
    spec: ModelSpec, precision: str, again: bool, held: bool, in_fp32: bool, kernel: str
) -> None:
    tape = StepTape(spec, spec.max_seq_len, precision, again, held, in_fp32, kernel)
    last = tape.record()[-1]
    assert last.fixed == 0
    assert last.activations == 16 * tape.tokens + (0 if spec.tied_embeddings else tape.residual)
    assert last.logits == 0


@given(model_specs())
def test_the_phases_come_in_the_order_of_the_step(spec: ModelSpec) -> None:
    moments = StepTape(spec, spec.max_seq_len, "fp32", False, False).record()
    phases = list(dict.fromkeys(moment.phase for moment in moments))
    first = ["backward of the first block"] if spec.num_layers > 1 else []
    assert phases == [
        "embedding", "forward of the blocks", END_OF_FORWARD, "backward of the loss",
        "backward of the head", "backward of the last block", *first, "backward of the embedding",
    ]  # fmt: skip
