"""How large the passes are that a run makes between its updates: validation, and samples.

Training makes them of these sizes, and the accounting counts them so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from engine.run_spec import RunSpec
from engine.spec import ModelSpec

# What a batch of validation may take where training's own batches are small.
_ROOM_BYTES = 32 << 20
MAX_PROMPT_CHARACTERS = 4_096
# Samples take at most this part of the time that training took since the last ones, but are let go
# on so long.
SAMPLES_SHARE, SAMPLES_AT_LEAST_S = 0.1, 2.0
# Prompts that nobody asked for by name: so many in the first and last samples, one in between.
OWN_PROMPTS = 3
# A prompt that a run does not name is a corpus's own: 40 characters at most.
_OWN_PROMPT_BYTES = 160


class ValidationPass(NamedTuple):
    """Sequences in a batch of validation: training's number, at least and at most so many."""

    least: int
    most: int


class SamplingPass(NamedTuple):
    """Tokens that are read, held and made room for, at most, while a sample is written.

    ``prompt``: read at first. ``afresh``: read at once when the context is full (0: it never is).
    ``held``: before the model when a sample ends. ``capacity``: what the cache has room for.
    """

    prompt: int
    afresh: int
    held: int
    capacity: int


def fitting_sequences(spec: ModelSpec, seq_len: int) -> int:
    """How many sequences make a batch of validation that is fast, where memory is no question.

    Batches of training's size waste time where they are small. Nothing is kept for a backward
    pass here, so larger ones fit: as many sequences as take _ROOM_BYTES in scores of the
    vocabulary (three fp32 copies) and in the widest layer.
    """
    numbers = 3 * spec.vocab_size + 3 * spec.mlp_dim + 8 * spec.hidden_dim
    scores = spec.num_heads * seq_len if spec.position == "alibi" else 0
    return _ROOM_BYTES // (4 * seq_len * (numbers + scores))


def validation_pass(spec: ModelSpec, run: RunSpec) -> ValidationPass:
    """Batches of a validation. ``run.validation_tokens`` bounds them: the text is not known yet."""
    seq_len = run.sequence_length(spec)
    most = max(1, run.validation_tokens // seq_len)
    return ValidationPass(min(most, max(1, fitting_sequences(spec, seq_len))), most)


def sampling_pass(spec: ModelSpec, run: RunSpec) -> SamplingPass:
    """The longest sample of a run; no tokenizer makes more tokens of a prompt than it has bytes."""
    context = spec.max_seq_len
    prompt = _longest_bytes(run.prompts)
    whole = prompt + run.sample_tokens
    return SamplingPass(
        prompt=min(prompt, context),
        afresh=max(1, context // 2) if whole > context else 0,
        held=min(whole, context),
        capacity=max(1, min(whole, context)),
    )


@lru_cache(maxsize=16)
def _longest_bytes(prompts: tuple[str, ...]) -> int:
    sizes = (len(prompt[:MAX_PROMPT_CHARACTERS].encode()) for prompt in prompts)
    return max(sizes, default=_OWN_PROMPT_BYTES)
