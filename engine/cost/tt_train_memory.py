"""Memory of a training step in tt-train (ttml), the vendor's own trainer. Pure integers.

Everything is bf16 and lies in tiles of 32 × 32 numbers, so a vector of d numbers takes as much as
32 of them. A stored tensor is counted once for each operation of tt-train's graph that makes it,
since the graph keeps the result of every operation until the backward pass has gone by.

**What a block keeps** is exact: differences of the vendor's figures for one block and for many
(pull request 16205 of tenstorrent/tt-metal: GPT-2-small and NanoGPT, 64 sequences, 96 tokens of
vocabulary, dropout off, on an N150) are this account to the byte. For a token of GPT-2's block it
is 22 d numbers, the H·T scores of attention, and a tile's width of statistics for mean and spread
of both norms; a memory-efficient block (tt-train's gradient checkpointing) keeps its output only.

**What the last block's backward pass takes at its fullest** is fitted to the same figures, for no
page lists it: four tensors of scores and four of width d in attention, or seven of the
feed-forward network's width and two of width d in GELU, whichever is more. SwiGLU's is assumed
to be four of that width, one for each gradient that meets there; attention without stored scores
(``fused_attention``, as newer versions have it) takes only those of width d.

The vendor's figures were taken in a first step without an optimizer: ``forward_backward_bytes``.
They come out within 1.2 % (tests). Llama's block, the optimizer and gradients follow from the
sources of tt-train and were not compared with any measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.families import decoder as family
from engine.families.weight import Weight
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

TILE = 32
_BF16, _FP32 = 2, 4
# Tensors alive at once in the backward pass of the last block (see above).
_ATTENTION_SCORES, _ATTENTION_WIDTHS = 4, 4
_FEED_FORWARD = {"gelu": 7, "relu": 2, "swiglu": 4, "geglu": 7}
_FEED_FORWARD_WIDTHS = 2
# A recomputed block lives beside its first output and that output's gradient; in attention's
# part one more of width d is there.
_RECOMPUTED_ATTENTION, _RECOMPUTED_FEED_FORWARD = 3, 2
# The model's logits, their softmax and their gradient.
_LOGITS = 3


@dataclass(frozen=True)
class TtTrainMemory:
    """Bytes of one chip's memory in a training step.

    Attributes:
        weights: bf16, in tiles.
        gradients: one for each weight, kept from step to step.
        optimizer: AdamW's two moments in bf16; in full precision fp32 moments and fp32 masters.
        activations: what the forward pass keeps.
        logits: of these the vocabulary's scores, with the copies that the loss makes.
        working: what the backward pass of the last block takes beside that, at its fullest.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    working: int

    @property
    def forward_backward_bytes(self) -> int:
        """Peak of a first step without an optimizer, as the vendor measured."""
        return self.weights + self.activations + self.working

    @property
    def peak_bytes(self) -> int:
        """Peak of every later step of a training run."""
        return self.forward_backward_bytes + self.gradients + self.optimizer


def tt_train_memory(
    spec: ModelSpec, run: RunSpec, memory_efficient: bool | None = None, *,
    fused_attention: bool = False,
) -> TtTrainMemory:  # fmt: skip
    """The account for one chip with ``run.batch_size`` sequences on it.

    ``memory_efficient`` chooses tt-train's runner (None: as ``run.gradient_checkpointing`` says).
    Full precision of the optimizer is that of ``run.precision``: all but pure bf16 have it.
    """
    efficient = run.gradient_checkpointing if memory_efficient is None else memory_efficient
    sizes = _Sizes(spec, run, fused_attention)
    weights = _tiled(family.weights(spec))
    states = weights * 2 if run.precision == "bf16" else weights // _BF16 * _FP32 * 3
    block, kept = sizes.block(), spec.num_layers
    activations = sizes.around_blocks() + kept * (sizes.width if efficient else block)
    working = max(
        sizes.attention_backward() + (_RECOMPUTED_ATTENTION * sizes.width if efficient else 0),
        sizes.feed_forward_backward()
        + (_RECOMPUTED_FEED_FORWARD * sizes.width if efficient else 0),
    )
    if efficient:  # the block that is being recomputed, whose input is another's output
        working += block - sizes.width
    return TtTrainMemory(weights, weights, states, activations, sizes.logits(), working)


def _up(number: int) -> int:
    return -(-number // TILE) * TILE


def _tiled(weights: Iterable[Weight]) -> int:
    """bf16 bytes of all weights; a vector is one row of a tile."""
    total = 0
    for weight in weights:
        rows, columns = weight.shape if len(weight.shape) == 2 else (1, weight.shape[0])
        total += weight.copies * _up(rows) * _up(columns) * _BF16
    return total


class _Sizes:
    """Bytes of the tensors that a batch makes, by their width."""

    def __init__(self, spec: ModelSpec, run: RunSpec, fused_attention: bool) -> None:
        self._spec, self._fused = spec, fused_attention
        self._positions = _up(run.sequence_length(spec))
        self._rows = run.batch_size * self._positions
        self.width = self._of(spec.hidden_dim)
        self._wide = self._of(spec.mlp_dim)
        self._keys = self._of(spec.num_kv_heads * spec.head_size)
        self._statistic = self._of(1)

    def _of(self, features: int) -> int:
        return self._rows * _up(features) * _BF16

    def _scores(self) -> int:
        """One tensor of attention's scores (B, H, T, T)."""
        return 0 if self._fused else self._of(self._spec.num_heads * self._positions)

    def _norm(self) -> int:
        """A norm's output and its statistics: LayerNorm's mean and spread, RMSNorm's spread."""
        return self.width + self._statistic * (2 if self._spec.norm == "layernorm" else 1)

    def block(self) -> int:
        """All that one block keeps for its backward pass."""
        queries = self._of(self._spec.num_heads * self._spec.head_size)
        heads = queries + 2 * self._keys
        turned = queries + self._keys if self._spec.position == "rope" else 0
        joined = 2 * queries  # attention's result, by head and side by side again
        dropped = 2 * self.width if self._spec.dropout else 0
        # The projections, the heads cut out of them, and both sublayers' output and sum.
        attention = 2 * heads + turned + self._scores() + joined + 2 * self.width
        feed_forward = self._wide * (4 if self._spec.gated else 2) + 2 * self.width
        return 2 * self._norm() + attention + feed_forward + dropped

    def around_blocks(self) -> int:
        """Embeddings, final norm, logits, ids, mask."""
        vectors = {"learned": 2, "sinusoidal": 2}.get(self._spec.position, 1)
        dropped = self.width if self._spec.dropout and vectors == 2 else 0
        ids = 2 * self._rows * _FP32  # inputs and targets, 32-bit integers
        mask = self._positions**2 * _BF16
        return vectors * self.width + dropped + self._norm() + self.logits() + ids + mask

    def logits(self) -> int:
        """The vocabulary's scores and what the loss makes of them."""
        return _LOGITS * self._of(self._spec.vocab_size)

    def attention_backward(self) -> int:
        """Most that attention's backward pass has alive at once."""
        return _ATTENTION_SCORES * self._scores() + _ATTENTION_WIDTHS * self.width

    def feed_forward_backward(self) -> int:
        """Most that the feed-forward network's backward pass has alive at once."""
        wide = _FEED_FORWARD[self._spec.activation] * self._wide
        return wide + _FEED_FORWARD_WIDTHS * self.width
