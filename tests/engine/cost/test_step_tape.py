from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.cost.step_tape import END_OF_FORWARD, StepTape
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs

PRECISIONS = st.sampled_from(("fp32", "bf16-mixed", "bf16"))


@given(model_specs(), PRECISIONS, st.booleans(), st.booleans(), st.booleans())
def test_nothing_is_given_back_that_was_not_taken(
    spec: ModelSpec, precision: str, again: bool, held: bool, in_fp32: bool
) -> None:
    tape = StepTape(spec, spec.max_seq_len, precision, again, held, in_fp32)
    for moment in tape.record():
        assert min(moment[1:]) >= 0, moment


@given(model_specs(), PRECISIONS, st.booleans(), st.booleans(), st.booleans())
def test_at_the_end_only_gradients_and_a_trifle_are_left(
    spec: ModelSpec, precision: str, again: bool, held: bool, in_fp32: bool
) -> None:
    tape = StepTape(spec, spec.max_seq_len, precision, again, held, in_fp32)
    last = tape.record()[-1]
    rotation = tape.a * tape.tokens * (spec.head_size // 2) * 2 if spec.position == "rope" else 0
    bias = tape.a * spec.num_heads * tape.tokens**2 if spec.position == "alibi" else 0
    assert last.fixed == rotation + bias
    assert last.activations == 16 * tape.tokens + (0 if spec.tied_embeddings else tape.residual)
    assert last.logits == 0


@given(model_specs())
def test_the_phases_come_in_the_order_of_the_step(spec: ModelSpec) -> None:
    moments = StepTape(spec, spec.max_seq_len, "fp32", False, False).record()
    phases = list(dict.fromkeys(moment.phase for moment in moments))
    assert phases == [
        "embedding", END_OF_FORWARD, "backward of the loss", "backward of the head",
        "backward of the last block", "backward of the first block", "backward of the embedding",
    ]  # fmt: skip
