"""Hypothesis strategies for designs and runs: every option, valid by construction."""

from __future__ import annotations

from hypothesis import strategies as st

from engine.run_spec import RunSpec, check_run, run_parameters
from engine.spec import ModelSpec, check, divisors, model_parameters


def _choices(name: str) -> st.SearchStrategy[str]:
    choices = model_parameters()[name].choices
    assert choices is not None
    return st.sampled_from(tuple(choices))


@st.composite
def model_specs(draw: st.DrawFn, large: bool = False) -> ModelSpec:
    """A valid design with any options: sizes to run on a laptop, or with ``large`` to count."""
    most = 64 if large else 3
    position = draw(_choices("position"))
    heads = draw(st.integers(1, 64 if large else 4))
    even = position == "rope"
    size = draw(st.integers(1, 128 if large else 8)) * (2 if even else 1)
    free_head = draw(st.booleans())
    width = draw(st.integers(1, 4_096 if large else 32)) * 2 if free_head else heads * size
    if position == "sinusoidal" and width % 2:
        width, size = width * 2, size * 2
    return check(
        ModelSpec(
            hidden_dim=width,
            num_layers=draw(st.integers(1, most)),
            max_seq_len=draw(st.integers(1, 65_536 if large else 32)),
            num_heads=heads,
            num_kv_heads=draw(st.sampled_from(divisors(heads))),
            head_dim=size if free_head else None,
            qkv_bias=draw(st.booleans()),
            attention_output_bias=draw(st.booleans()),
            mlp_dim=draw(st.integers(1, 16_384 if large else 64)),
            activation=draw(_choices("activation")),
            mlp_bias=draw(st.booleans()),
            position=position,
            rope_theta=draw(st.sampled_from((100.0, 10_000.0, 500_000.0))),
            rope_scaling=draw(_choices("rope_scaling")),
            rope_factor=draw(st.sampled_from((1.0, 2.0, 8.0))),
            norm=draw(_choices("norm")),
            norm_position=draw(_choices("norm_position")),
            dropout=draw(st.sampled_from((0.0, 0.1))),
            vocab_size=draw(st.integers(2, 262_144 if large else 64)),
            tied_embeddings=draw(st.booleans()),
            head_bias=draw(st.booleans()),
        )
    )


@st.composite
def run_specs(draw: st.DrawFn, spec: ModelSpec) -> RunSpec:
    """A valid run for ``spec`` with any batch, precision, optimizer and saving of memory."""
    known = run_parameters()
    precisions, optimizers = known["precision"].choices, known["optimizer"].choices
    assert precisions is not None
    assert optimizers is not None
    return check_run(
        RunSpec(
            batch_size=draw(st.integers(1, 8)),
            seq_len=draw(st.none() | st.integers(1, spec.max_seq_len)),
            accumulation_steps=draw(st.integers(1, 3)),
            precision=draw(st.sampled_from(tuple(precisions))),
            optimizer=draw(st.sampled_from(tuple(optimizers))),
            gradient_checkpointing=draw(st.booleans()),
            loss_chunk=draw(st.none() | st.integers(1, 40)),
            attention=draw(st.sampled_from(("auto", "fused", "materialised"))),
        ),
        spec,
    )
