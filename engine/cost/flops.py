"""Arithmetic a token, in the form of PaLM's appendix B (Chowdhery et al. 2022, arXiv:2204.02311).

A matrix of n weights costs 2·n FLOPs a token forward (one multiplication, one addition), twice
that backward. Scores and their weighted sum cost 4·H·h·S a token and layer forward. Norms,
activations, softmax and the optimizer are left out: under 2 % in any model of useful width.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.families.decoder import weights
from engine.spec import ModelSpec

CAUSAL_NOTE = (
    "Scores are counted for full attention over the sequence. A causal model needs about half of "
    "them, and kernels that skip the masked half do less than is counted here."
)


@dataclass(frozen=True)
class Flops:
    """FLOPs for one token of a sequence of ``seq_len``.

    ``parts`` splits ``training`` into projections (of attention), scores, mlp and head; its
    values sum to it. ``note`` says what the count of scores assumes.
    """

    forward: int
    training: int
    parts: dict[str, int]
    seq_len: int
    note: str = CAUSAL_NOTE


def matmul_parameters(spec: ModelSpec) -> dict[str, int]:
    """Weights that every token is multiplied with, by part: N_matmul when summed.

    The input embedding is a lookup and costs nothing; a tied matrix counts as the head.
    """
    counts = {"projections": 0, "mlp": 0, "head": spec.vocab_size * spec.hidden_dim}
    for weight in weights(spec):
        if len(weight.shape) == 2 and weight.group in ("attention", "mlp"):
            part = "projections" if weight.group == "attention" else "mlp"
            counts[part] += weight.count
    return counts


def flops_per_token(spec: ModelSpec, seq_len: int) -> Flops:
    """FLOPs a token: training is 6·N_matmul + 12·L·H·h·S, forward a third of it."""
    matmul = matmul_parameters(spec)
    scores = 2 * spec.num_layers * spec.num_heads * spec.head_size * seq_len
    multiplied = {
        "projections": matmul["projections"],
        "scores": scores,
        "mlp": matmul["mlp"],
        "head": matmul["head"],
    }
    forward = 2 * sum(multiplied.values())
    parts = {name: 6 * number for name, number in multiplied.items()}
    return Flops(forward=forward, training=3 * forward, parts=parts, seq_len=seq_len)


def recomputed_flops_per_token(spec: ModelSpec, seq_len: int) -> int:
    """Extra FLOPs a token under gradient checkpointing: the blocks' forward pass once more."""
    flops = flops_per_token(spec, seq_len)
    return (flops.training - flops.parts["head"]) // 3
