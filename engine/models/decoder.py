"""The decoder-only transformer of a ModelSpec, with every option that a spec has.

Weights carry the names of published Llama checkpoints (engine.families.decoder lists them).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.models.attention import CausalSelfAttention, Surroundings, look_around
from engine.models.cache import KVCache
from engine.models.chunked_loss import chunked_cross_entropy
from engine.models.feed_forward import FeedForward
from engine.models.linear import Embedding, to_compute_dtype
from engine.models.norms import make_norm
from engine.models.positions import sinusoidal_table
from engine.spec import ModelSpec, check


@dataclass(frozen=True)
class Output:
    """What a forward pass gives: logits (B, T, V), or with targets the mean loss, in nats."""

    logits_BTV: Tensor | None  # noqa: N815
    loss: Tensor | None


class Block(nn.Module):
    """Attention, then the feed-forward network, each added to the residual stream.

    Pre-norm: x + Sublayer(Norm(x)) (Xiong et al. 2020, https://arxiv.org/abs/2002.04745).
    Post-norm: Norm(x + Sublayer(x)) (Vaswani et al. 2017, section 3.1).

    Saved for the backward pass beside what attention and feed-forward name: the inputs of both
    norms and their statistics (one number a token, LayerNorm two); dropout adds its masks.
    """

    def __init__(self, spec: ModelSpec, layer: int) -> None:
        super().__init__()
        self.pre_norm, self.dropout = spec.norm_position == "pre", spec.dropout
        self.input_layernorm = make_norm(spec)
        self.self_attn = CausalSelfAttention(spec, layer)
        self.post_attention_layernorm = make_norm(spec)
        self.mlp = FeedForward(spec)

    def forward(self, x_BTD: Tensor, around: Surroundings, cache: KVCache | None = None) -> Tensor:
        if self.pre_norm:
            x_BTD = x_BTD + self.drop(self.self_attn(self.input_layernorm(x_BTD), around, cache))
            return x_BTD + self.drop(self.mlp(self.post_attention_layernorm(x_BTD)))
        x_BTD = self.input_layernorm(x_BTD + self.drop(self.self_attn(x_BTD, around, cache)))
        x_BTD = self.post_attention_layernorm(x_BTD + self.drop(self.mlp(x_BTD)))
        return x_BTD  # noqa: RET504 (modules return Any, this name is a Tensor)

    def attention_input(self, x_BTD: Tensor) -> Tensor:
        """What this block's attention reads when the block is given ``x_BTD``."""
        return self.input_layernorm(x_BTD) if self.pre_norm else x_BTD

    def drop(self, x: Tensor) -> Tensor:
        """Residual dropout, as in GPT-2; off in eval mode."""
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class Stack(nn.Module):
    """Embeddings, blocks and final norm: tokens (B, T) to features (B, T, D)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embed_tokens = Embedding(spec.vocab_size, spec.hidden_dim)
        if spec.position == "learned":
            self.embed_positions = Embedding(spec.max_seq_len, spec.hidden_dim)
        self.layers = nn.ModuleList(Block(spec, layer) for layer in range(spec.num_layers))
        if spec.norm_position == "pre":
            self.norm = make_norm(spec)

    def forward(
        self, inputs_BT: Tensor, cache: KVCache | None, *, checkpointing: bool = False,
        in_fp32: bool = False, kernel: str = "auto",
    ) -> Tensor:  # fmt: skip
        start = 0 if cache is None else cache.length
        x_BTD, around = self.embed(inputs_BT, start, in_fp32=in_fp32, kernel=kernel)
        for block in self.layers:
            if checkpointing:
                x_BTD = checkpoint(
                    block, x_BTD, around, use_reentrant=False,
                    preserve_rng_state=self.spec.dropout > 0,
                )  # fmt: skip
            else:
                x_BTD = block(x_BTD, around, cache)
        if cache is not None:
            cache.length += inputs_BT.shape[1]
        return self.norm(x_BTD) if self.spec.norm_position == "pre" else x_BTD

    def embed(
        self, inputs_BT: Tensor, start: int, *, in_fp32: bool = False, kernel: str = "auto"
    ) -> tuple[Tensor, Surroundings]:
        """Vectors of the tokens, the first of which stands at ``start``, and what is around."""
        spec = self.spec
        x_BTD: Tensor = self.embed_tokens(inputs_BT)
        positions_T = torch.arange(start, start + inputs_BT.shape[1], device=inputs_BT.device)
        if spec.position == "learned":
            x_BTD = x_BTD + self.embed_positions(positions_T)
        elif spec.position == "sinusoidal":
            x_BTD = x_BTD + sinusoidal_table(positions_T, spec.hidden_dim).to(x_BTD.dtype)
        if spec.dropout:
            x_BTD = F.dropout(x_BTD, spec.dropout, self.training)
        dtype = to_compute_dtype(x_BTD).dtype
        return x_BTD, look_around(
            spec, positions_T, start, dtype, in_fp32=in_fp32, kernel=kernel
        )  # fmt: skip


class OutputHead(nn.Module):
    """Scores of the next token. Tied: it has no weight of its own and borrows the embedding's."""

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        shape = (spec.vocab_size, spec.hidden_dim)
        weight = None if spec.tied_embeddings else nn.Parameter(torch.empty(shape))
        bias = nn.Parameter(torch.empty(spec.vocab_size)) if spec.head_bias else None
        self.register_parameter("weight", weight)
        self.register_parameter("bias", bias)

    def forward(self, x_BTD: Tensor, embedding_VD: Tensor) -> Tensor:
        return F.linear(to_compute_dtype(x_BTD), self.matrix(embedding_VD), self.bias)

    def matrix(self, embedding_VD: Tensor) -> Tensor:
        """What features are multiplied by: its own weight, or tied the embedding's."""
        return embedding_VD if self.weight is None else self.weight


class Decoder(nn.Module):
    """A decoder-only language model; make one with ``build``.

    Attributes:
        spec: the design that it is made from.
        gradient_checkpointing: in training, forget what is inside each block and compute it
            again going backward.
        attention_in_fp32: compute scores in fp32 in a 16-bit model. For CPUs, whose 16-bit
            attention is slow going backward; keeps queries, keys, values and heads at 4 bytes.
        attention_kernel: "auto", "fused" or "materialised" (a run's ``attention``).
        loss_chunk: tokens whose scores exist at once where there are targets; None: all. Never
            more than a sequence.
        chunked_loss: what computes the loss then; torch.compile puts a form of it here that it
            leaves alone.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.gradient_checkpointing = False
        self.attention_in_fp32 = False
        self.attention_kernel = "auto"
        self.loss_chunk: int | None = None
        self.chunked_loss = chunked_cross_entropy
        self.model = Stack(spec)
        self.lm_head = OutputHead(spec)

    def forward(
        self, inputs_BT: Tensor, targets_BT: Tensor | None = None, *,
        cache: KVCache | None = None, last_only: bool = False,
    ) -> Output:  # fmt: skip
        """Read tokens; give logits, or with ``targets_BT`` the mean cross-entropy (fp32, nats).

        ``targets_BT[b, t]`` is the token that follows ``inputs_BT[b, t]``: nothing is shifted
        here. With a cache the inputs follow the tokens that it holds, and are added to it. With
        ``last_only`` only the last token's logits are computed: (B, 1, V).

        Raises ValueError for more tokens than the context (or the cache) holds. Position T and
        beyond does not exist for any kind of position; a caller that goes on writing crops, as
        engine.models.generation does.
        """
        self._check_length(inputs_BT, cache)
        checkpointing = self.gradient_checkpointing and self.training and torch.is_grad_enabled()
        assert cache is None or not checkpointing, "a cache is for writing, not for training"
        x_BTD = self.model(
            inputs_BT, cache, checkpointing=checkpointing, in_fp32=self.attention_in_fp32,
            kernel=self.attention_kernel,
        )  # fmt: skip
        if last_only:
            x_BTD = x_BTD[:, -1:]
        # In the same name, as the features in their old format are needed no longer.
        x_BTD = to_compute_dtype(x_BTD)
        if self.loss_chunk is not None and targets_BT is not None:
            return Output(None, self._loss_by_chunks(x_BTD, targets_BT, self.loss_chunk))
        logits_BTV: Tensor = self.lm_head(x_BTD, self.model.embed_tokens.weight)
        if targets_BT is None:
            return Output(logits_BTV, None)
        exact = torch.promote_types(logits_BTV.dtype, torch.float32)
        loss = F.cross_entropy(logits_BTV.flatten(0, 1).to(exact), targets_BT.flatten())
        return Output(None, loss)

    def _loss_by_chunks(self, x_BTD: Tensor, targets_BT: Tensor, chunk: int) -> Tensor:
        return self.chunked_loss(
            x_BTD.flatten(0, 1), self.lm_head.matrix(self.model.embed_tokens.weight),
            self.lm_head.bias, targets_BT.flatten(), min(chunk, targets_BT.shape[1]),
        )  # fmt: skip

    def attention_maps(self, inputs_BT: Tensor, layer: int) -> Tensor:
        """How much each token looks at each other one in ``layer``: (B, H, T, T), fp32.

        Computed the long way, with dropout off and without gradients. Rows sum to 1.
        """
        if not 0 <= layer < self.spec.num_layers:
            raise ValueError(f"there is no layer {layer}: the last is {self.spec.num_layers - 1}")
        self._check_length(inputs_BT, None)
        with torch.no_grad(), evaluating(self):
            x_BTD, around = self.model.embed(inputs_BT, 0)
            for block in self.model.layers[:layer]:
                x_BTD = block(x_BTD, around)
            block = self.model.layers[layer]
            assert isinstance(block, Block)
            return block.self_attn.weights(block.attention_input(x_BTD), around)

    def _check_length(self, inputs_BT: Tensor, cache: KVCache | None) -> None:
        held, room = (0, self.spec.max_seq_len) if cache is None else (cache.length, cache.capacity)
        count = inputs_BT.shape[1]
        if held + count > room:
            raise ValueError(
                f"{held + count:,} tokens do not fit the context of {room:,}: crop the text first"
            )


def build(
    spec: ModelSpec, *, device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32, seed: int = 0,
) -> Decoder:  # fmt: skip
    """A new model with random weights, the same for the same seed on every device.

    On the "meta" device it has names, shapes and types but no weights: for counting.
    Raises SpecError for a spec that cannot be built.
    """
    check(spec)
    with torch.device("meta"):
        decoder = Decoder(spec).to(dtype)
    if torch.device(device).type == "meta":
        return decoder
    decoder.to_empty(device=device)
    initialize(decoder, seed)
    return decoder


@torch.no_grad()
def initialize(decoder: Decoder, seed: int) -> None:
    """Set every weight: matrices N(0, init_std), biases 0, norms 1.

    Projections that write into the residual stream get init_std / √(2L), so that its spread does
    not grow with depth (Radford et al. 2019, GPT-2, section 2.3). Numbers are drawn on the CPU in
    fp32 by a generator of their own: the global random state is neither used nor moved.
    """
    spec = decoder.spec
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in decoder.named_parameters():
        if name.endswith(".bias"):
            parameter.zero_()
        elif parameter.ndim == 1:
            parameter.fill_(1.0)
        else:
            residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            std = spec.init_std / math.sqrt(2 * spec.num_layers) if residual else spec.init_std
            parameter.copy_(torch.empty(parameter.shape).normal_(0.0, std, generator=generator))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off inside; afterwards the mode is what it was."""
    if not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()
