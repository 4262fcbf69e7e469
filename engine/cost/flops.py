"""Arithmetic a token, in the form of PaLM's appendix B (Chowdhery et al. 2022, arXiv:2204.02311).

A matrix of n weights costs 2·n FLOPs a token forward (one multiplication, one addition), twice
that backward. Scores and their weighted sum cost 4·H·h·S a token and layer forward. These products
are what everybody calls a model's FLOPs, what torch's counter counts, and what peaks are printed
for.

What goes on between them (norms, activations, softmax, rotations, sums, the loss, the update of the
weights) is told apart, as ``other``: each addition, multiplication, comparison, exponential or
root counts one. No convention for these is agreed upon, so that figure is an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.families.decoder import weights
from engine.spec import ModelSpec

CAUSAL_NOTE = (
    "Scores are counted for full attention over the sequence. A causal model needs about half of "
    "them, and kernels that skip the masked half do less than is counted here."
)


# Elementwise arithmetic backward is about twice that of the forward pass.
_BACK_AND_FORTH = 3
# Operations a number: RMSNorm squares, sums, scales twice; LayerNorm also finds and takes off the
# mean and adds a bias. GELU: erf counts as one, and five around it. SiLU: exponential, sum,
# division, product.
_NORM = {"rmsnorm": 4, "layernorm": 7}
_BEND = {"relu": 1, "gelu": 6, "swiglu": 4 + 1, "geglu": 6 + 1}
# A score: scaled, compared with the largest so far, lowered, raised, summed, divided.
_SOFTMAX = 6
# A turned pair of features: four products, two sums.
_ROTATION = 3
# AdamW: decay 1, mean 3, square 4, corrected root and division 5, step 2; clipping 3.
UPDATE_OPERATIONS = 18


@dataclass(frozen=True)
class Flops:
    """FLOPs for one token of a sequence of ``seq_len``.

    ``parts`` splits ``training`` into projections (of attention), scores, mlp and head; its
    values sum to it. ``other`` comes on top: everything that is no product of matrices, forward
    and back, without the update of the weights. ``note`` says what the count of scores assumes.
    """

    forward: int
    training: int
    parts: dict[str, int]
    seq_len: int
    other: int = 0
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
    return Flops(
        forward=forward,
        training=3 * forward,
        parts=parts,
        seq_len=seq_len,
        other=_BACK_AND_FORTH * _elementwise(spec, seq_len),
    )


def update_flops(parameters: int) -> int:
    """Operations of one update of all weights by AdamW, clipping included: an estimate."""
    return UPDATE_OPERATIONS * parameters


def _elementwise(spec: ModelSpec, seq_len: int) -> int:
    """Operations a token forward that are no product of matrices."""
    d, heads, h = spec.hidden_dim, spec.num_heads, spec.head_size
    block = 2 * _NORM[spec.norm] * d + _BEND[spec.activation] * spec.mlp_dim + 2 * d
    block += _SOFTMAX * heads * seq_len
    if spec.position == "rope":
        block += _ROTATION * (heads + spec.num_kv_heads) * h
    if spec.position == "alibi":
        block += heads * seq_len
    if spec.qkv_bias:
        block += (heads + 2 * spec.num_kv_heads) * h
    if spec.attention_output_bias:
        block += d
    if spec.mlp_bias:
        block += d + spec.mlp_dim * (2 if spec.gated else 1)
    if spec.dropout:
        block += 2 * (2 * d + heads * seq_len)
    once = _NORM[spec.norm] * d if spec.norm_position == "pre" else 0
    once += d if spec.position in ("learned", "sinusoidal") else 0
    once += (_SOFTMAX - 1 + (1 if spec.head_bias else 0)) * spec.vocab_size
    return spec.num_layers * block + once


def recomputed_flops_per_token(spec: ModelSpec, seq_len: int) -> int:
    """Extra FLOPs a token under gradient checkpointing: the blocks' forward pass once more."""
    flops = flops_per_token(spec, seq_len)
    return (flops.training - flops.parts["head"]) // 3
