from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.cost.passes import MAX_PROMPT_CHARACTERS, sampling_pass, validation_pass
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs, run_specs


@given(st.data())
def test_validation_has_a_sequence_at_least_and_its_tokens_at_most(data: st.DataObject) -> None:
    spec = data.draw(model_specs())
    run = data.draw(run_specs(spec)).replace(validation_tokens=data.draw(st.integers(1, 500)))
    least, most = validation_pass(spec, run)
    assert 1 <= least <= most
    assert most == 1 or most * run.sequence_length(spec) <= run.validation_tokens


@given(st.data())
def test_a_sample_never_holds_more_than_the_context(data: st.DataObject) -> None:
    spec = data.draw(model_specs())
    run = RunSpec(prompts=("é" * data.draw(st.integers(0, 40)),), sample_tokens=30)
    sizes = sampling_pass(spec, run)
    context = spec.max_seq_len
    assert 0 <= sizes.prompt <= sizes.held <= sizes.capacity <= context
    overflows = 2 * len(run.prompts[0]) + 30 > context
    assert sizes.afresh == (max(1, context // 2) if overflows else 0)


def test_the_longest_prompt_counts_up_to_what_a_sampler_reads() -> None:
    spec = ModelSpec(max_seq_len=100_000)
    sizes = sampling_pass(spec, RunSpec(prompts=("x", "y" * 5_000), sample_tokens=10))
    assert sizes.prompt == MAX_PROMPT_CHARACTERS
    assert sizes.capacity == sizes.held == MAX_PROMPT_CHARACTERS + 10
