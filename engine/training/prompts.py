"""What a run's samples begin with, and the random numbers they are drawn with. Plain Python."""

from __future__ import annotations

import hashlib

from engine.cost.passes import OWN_PROMPTS
from engine.run_spec import RunSpec


def sample_seed(seed: int, step: int, prompt: str) -> int:
    """A seed of its own for each sample: the same run writes the same text at the same step."""
    digest = hashlib.blake2b(f"{seed}/{step}/{prompt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def sample_prompts(run: RunSpec, corpus_prompts: tuple[str, ...], step: int) -> tuple[str, ...]:
    """What the samples after ``step`` updates begin with.

    ``corpus_prompts`` are used where the run names none: a few of them in the first and the last
    sample, only the first in between, so that a short run spends its time on learning.
    """
    if run.prompts:
        return run.prompts
    own = corpus_prompts[:OWN_PROMPTS] or ("",)
    return own if step in (0, run.steps) else own[:1]
