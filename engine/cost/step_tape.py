"""What one training step keeps alive, moment by moment, as autograd goes through it.

It follows the decoder of engine/models and the update of engine/training on the CPU, operation
by operation: what each saves for its backward pass, what it allocates, and what is let go after
it. Sizes are straight lines over the batch: fixed bytes, and bytes for each sequence.

On the CPU attention with dropout goes the long way, with matrices of scores. CUDA's kernels keep
less there, so for a GPU this is an upper bound.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.families.decoder import weights
from engine.spec import ModelSpec

FULL = 4  # bytes of an fp32 number
END_OF_FORWARD = "end of forward"


class Moment(NamedTuple):
    """Bytes alive at one moment beside weights and optimizer state.

    ``activations``, ``logits`` are for each sequence, ``fixed`` and ``gradients`` in all;
    ``fixed`` are activations that do not grow with the batch (tables, 16-bit copies of weights).
    """

    phase: str
    fixed: int
    activations: int
    gradients: int
    logits: int


class Matrices(NamedTuple):
    """Parameters of a linear layer: its matrix and its bias."""

    weight: int
    bias: int

    @property
    def total(self) -> int:
        """Both."""
        return self.weight + self.bias


class StepTape:
    """One training step of a valid design with sequences of ``seq_len`` tokens.

    ``again``: gradient checkpointing. ``held``: the gradients of earlier micro-batches stay.
    ``in_fp32``: scores are computed in fp32 in a 16-bit model, as it is done on CPUs.
    """

    def __init__(
        self, spec: ModelSpec, seq_len: int, precision: str, again: bool, held: bool,
        in_fp32: bool = False,
    ) -> None:  # fmt: skip
        self.spec, self.again, self.held = spec, again, held
        self.mixed, self.pure = precision == "bf16-mixed", precision == "bf16"
        self.e = 2 if self.pure else FULL  # a parameter, a number of the residual stream
        self.a = FULL if precision == "fp32" else 2  # what matrices multiply
        s, d = seq_len, spec.hidden_dim
        self.tokens = s
        self.residual = self.e * s * d
        self.input = self.a * s * d  # of a matrix that reads the residual stream's width
        self.wide = FULL * s * d
        self.heads = self.a * s * spec.num_heads * spec.head_size
        self.key_heads = self.a * s * spec.num_kv_heads * spec.head_size
        self.hidden = self.a * s * spec.mlp_dim
        self.rms = spec.norm == "rmsnorm"
        self.fused = not spec.dropout
        self.dropped = bool(spec.dropout)
        self.in_fp32 = in_fp32 and self.fused and self.a != FULL
        self.linears = _linears(spec)
        self.norm_parameters = spec.hidden_dim * (1 if self.rms else 2)
        self.moments: list[Moment] = []
        self._phase = ""
        self._alive = [0, 0, 0, 0]  # fixed, activations, gradients, logits

    def record(self) -> list[Moment]:
        """Go through the step; return every moment at which something was allocated."""
        self._embedding()
        saved = self.again_saved() if self.again else self.block_saved()
        layers = self.spec.num_layers
        self._take((layers - 1) * saved, (layers - 1) * self._block_copies())
        self._long_attention()
        self._take(saved, self._block_copies())
        self._head_and_loss()
        grads = self._block_gradients()
        # All blocks are alike, so the fullest one is the last (nothing given back yet) or the
        # first (all gradients there already).
        before = list(self._alive)
        self._block_backward("backward of the last block")
        self._alive = before
        if not self.held:
            self._alive[2] += (layers - 1) * grads
        self._alive[1] -= (layers - 1) * saved
        if not self.again:
            self._alive[0] -= (layers - 1) * self._block_copies()
        self._block_backward("backward of the first block")
        self._embedding_backward()
        return self.moments

    # --- what is saved ---------------------------------------------------------------------------

    def norm_saved(self) -> int:
        """By a norm, for each sequence: its input and statistics (RMSNorm's in fp32)."""
        if self.rms:
            return self.residual + FULL * self.tokens
        return self.residual + 2 * self._statistic() * self.tokens

    def attention_saved(self) -> int:
        """By scores and their sum over values: fused without a matrix of scores, else with three.

        Two without dropout: scores after softmax, and again what multiplies the values.
        """
        if self.fused:
            joined = self.heads if self.in_fp32 else 0  # what the output matrix reads
            return 4 * self._scored() + joined + FULL * self.tokens * self.spec.num_heads
        return self._long_inputs() + self._long_matrices() * self._scores() + self.heads

    def _scored(self) -> int:
        """All heads' queries (or keys, or values) in the format that scores are computed in."""
        return self.heads * FULL // self.a if self.in_fp32 else self.heads

    def mlp_saved(self) -> int:
        """Inside the feed-forward network."""
        number = {"relu": 1, "gelu": 2}.get(self.spec.activation, 4)
        return number * self.hidden

    def block_saved(self) -> int:
        """By one block, for each sequence."""
        masks = 2 * self.input if self.dropped else 0
        inputs = 2 * self.input
        return 2 * self.norm_saved() + inputs + self.attention_saved() + self.mlp_saved() + masks

    def again_saved(self) -> int:
        """By one block under gradient checkpointing: its input."""
        return self.residual

    def _long_inputs(self) -> int:
        """Scaled queries and keys, and values, in fp32."""
        return 3 * self.heads * FULL // self.a

    def _scores(self) -> int:
        return FULL * self.spec.num_heads * self.tokens * self.tokens

    def _long_matrices(self) -> int:
        return 3 if self.dropped else 1

    def _statistic(self) -> int:
        return self.e

    def _block_copies(self) -> int:
        """Autocast's 16-bit copies of a block's matrices."""
        return 2 * sum(linear.total for linear in self.linears.values()) if self.mixed else 0

    def _block_gradients(self) -> int:
        parameters = sum(linear.total for linear in self.linears.values())
        return self.e * (parameters + 2 * self.norm_parameters)

    # --- forward ---------------------------------------------------------------------------------

    def _embedding(self) -> None:
        self._phase = "embedding"
        spec, s = self.spec, self.tokens
        if self.held:
            total = sum(weight.count for weight in weights(spec))
            self._alive[2] += self.e * total
        self._take(2 * 8 * s)  # token numbers and targets
        if self.dropped:
            self._take(self.residual)  # its mask
        if spec.position == "rope":
            self._take(fixed=self.a * s * (spec.head_size // 2) * 2)
        if spec.position == "alibi":
            bias = FULL * spec.num_heads * s * s
            self._take(self.residual, 2 * bias + 9 * s * s)
            self._give(self.residual, 2 * bias + 9 * s * s)
            self._take(fixed=bias * self.a // FULL)

    def _head_and_loss(self) -> None:
        """Final norm, scores of the vocabulary, loss, and back to the end of the blocks."""
        spec, pre = self.spec, self.spec.norm_position == "pre"
        scores = self.tokens * spec.vocab_size
        matrix = spec.vocab_size * spec.hidden_dim
        bias = spec.vocab_size if spec.head_bias else 0
        copies = 2 * (matrix + bias) if self.mixed else 0
        self._phase = END_OF_FORWARD
        if pre:
            self._take(self.norm_saved())
        self._take(self.input, copies)
        raised = 0 if self.a == FULL else FULL * scores
        self._logits(self.a * scores + raised)
        self._logits(FULL * scores)
        self._logits(-(self.a * scores + raised))
        if self.again:  # nobody saves autocast's copies, and they go when its context ends
            self._give(fixed=spec.num_layers * self._block_copies())
        self._phase = "backward of the loss"
        self._logits(2 * FULL * scores)
        self._logits(-2 * FULL * scores)
        if raised:
            self._logits(self.a * scores)
            self._logits(-raised)
        self._phase = "backward of the head"
        self._linear(Matrices(matrix, bias), self.input)
        if self.held and spec.tied_embeddings:  # waits for the embedding's part before it is added
            self._alive[2] += self.e * matrix
        self._give(self.input)  # what the head read
        self._logits(-self.a * scores)
        self._to_wide_gradient()
        if pre:
            self._norm_backward(accumulate=False)

    # --- backward --------------------------------------------------------------------------------

    def _block_backward(self, phase: str) -> None:
        """One block, with the gradient of its output alive; leaves that of its input."""
        self._phase = phase
        if self.again:
            self._run_again()
        if self.spec.norm_position == "pre":
            self._mlp_backward()
            self._norm_backward(accumulate=True)
            self._attention_backward()
            self._norm_backward(accumulate=True)
        else:
            self._norm_backward(accumulate=False)
            self._mlp_backward()
            self._add(self.residual)
            self._norm_backward(accumulate=False)
            self._attention_backward()
            self._add(self.residual)
        if self.again:  # what was kept of the block's input beside what the block saves of it
            self._give(self.again_saved() - self._input_is_saved())

    def _run_again(self) -> None:
        """The forward pass of a checkpointed block: what it saves is there again."""
        self._long_attention()
        self._take(self.block_saved() - self._input_is_saved(), self._block_copies())

    def _long_attention(self) -> None:
        """Forward through attention the long way: the fullest moment, and back to before it."""
        if self.fused:
            return
        wide, scores = self.heads * FULL // self.a, self._scores()
        grouped = self.spec.num_kv_heads < self.spec.num_heads
        alive = self.norm_saved() + self.input  # before it
        if self.mixed and self.spec.norm_position == "pre":
            alive += self.wide  # the norm's output, before it is cast
        alive += 3 * self.heads + (2 * self.key_heads if grouped else 0)  # queries, keys, values
        alive += 4 * wide + (3 if self.dropped else 1) * scores
        if self.a != FULL:  # casts there and back
            alive += 3 * wide + scores * self.a // FULL + self.heads
        elif not self.dropped:
            alive += scores - wide
        self._take(alive)
        self._give(alive)

    def _input_is_saved(self) -> int:
        """Bytes of a block's input that the block saves in any case, not a copy of it."""
        if self.spec.norm_position == "pre":
            return self.residual
        return 0 if self.mixed else self.residual

    def _mlp_backward(self) -> None:
        spec, linears = self.spec, self.linears
        self._branch_gradient()
        self._linear(linears["down"], self.hidden)
        self._give_branch()
        if spec.gated:
            self._give(self.hidden)  # the product, that down read
            self._take(2 * self.hidden)
            self._give(3 * self.hidden)  # the product's gradient, what was multiplied
            self._take(self.hidden)  # through the bend
            self._give(2 * self.hidden)
            self._linear(linears["gate"], self.input)
            self._give(self.hidden)
            self._linear(linears["up"], self.input)
            self._give(self.hidden + self.input)
            self._take(self.input)
            self._give(2 * self.input)
        else:
            if spec.activation == "gelu":
                self._give(self.hidden)
            self._take(self.hidden)
            self._give(2 * self.hidden)
            self._linear(linears["up"], self.input)
            self._give(self.hidden + self.input)
        self._to_wide_gradient()

    def _attention_backward(self) -> None:
        heads, keys = self.heads, self.key_heads
        self._branch_gradient()
        self._linear(self.linears["o"], heads)
        self._give_branch()
        if self.in_fp32:
            self._fp32_attention_backward()
        elif self.fused:
            self._take(3 * heads)
            self._give(heads + self.attention_saved())
        else:
            self._long_attention_backward()
        self._take(2 * keys)
        self._give(2 * heads)  # keys and values of all heads are summed into their groups
        self._linear(self.linears["v"], self.input)
        self._give(keys)
        self._linear(self.linears["k"], self.input)
        self._take(self.input)
        self._give(keys + 2 * self.input)
        self._linear(self.linears["q"], self.input)
        self._give(heads + self.input)
        self._take(self.input)
        self._give(2 * self.input)
        self._to_wide_gradient()

    def _fp32_attention_backward(self) -> None:
        """Cast the heads' gradient, go through the fused kernel in fp32, cast back."""
        heads, wide = self.heads, self._scored()
        self._give(heads)  # the joined heads that the output matrix read
        self._take(wide)
        self._give(heads)
        self._take(3 * wide)
        self._give(wide + self.attention_saved() - heads)
        for _ in "qkv":
            self._take(heads)
            self._give(wide)

    def _long_attention_backward(self) -> None:
        """Leaves gradients of queries, keys and values, each as wide as all heads."""
        scores, wide = self._scores(), self.heads * FULL // self.a
        self._give(self.heads)  # the joined heads that the output matrix read
        self._take(wide)  # laid out for the products
        self._give(self.heads)
        self._take(wide + scores)
        if self.dropped:
            self._give(scores + 2 * wide)
            self._take(scores)
            self._give(2 * scores)
            self._take(scores)
            self._give(2 * scores)
        else:
            self._give(2 * wide)
            self._take(scores)
            self._give(2 * scores)
        self._take(2 * wide)
        self._give(scores + 2 * wide)
        self._give(3 * wide)
        self._take(3 * self.heads)

    def _norm_backward(self, accumulate: bool) -> None:
        """Of a norm whose output's gradient is alive; ``accumulate``: the residual's is too."""
        if not self.rms:
            self._take(self.residual, gradients=self._gradient(self.norm_parameters))
            self._give(self.residual + self.norm_saved())
            if accumulate:
                self._add(self.residual)
            return
        wide, row = self.wide, FULL * self.tokens
        raised = wide if self.pure else 0  # the output's gradient in fp32
        self._take(raised)
        self._take(2 * wide)  # normed, and multiplied by the gradient
        self._take(row, gradients=self._gradient(self.norm_parameters))
        self._give(wide)
        self._take(wide)  # the input's gradient
        if self.pure:  # and the same in 16 bits
            self._take(self.residual)
            self._give(self.residual)
        self._give(raised + 2 * wide + row + self.norm_saved())
        if accumulate:
            self._add(self.residual)

    def _embedding_backward(self) -> None:
        self._phase = "backward of the embedding"
        spec = self.spec
        if self.dropped:
            self._take(self.residual)
            self._give(2 * self.residual)
        if spec.position == "learned":
            width = self.e * spec.hidden_dim
            self._take(fixed=self.tokens * width)
            self._take(gradients=self._gradient(spec.max_seq_len * spec.hidden_dim))
            self._give(fixed=self.tokens * width)
        table = self.e * spec.vocab_size * spec.hidden_dim
        self._take(gradients=table)
        self._give(self.residual)
        if spec.tied_embeddings:
            self._take(gradients=table)

    # --- steps of which the above consist --------------------------------------------------------

    def _branch_gradient(self) -> None:
        """The gradient that goes into a sublayer, beside that of the residual stream."""
        if self.mixed:
            self._take(self.input)
        if self.dropped:
            self._take(self.input)
            self._give(self.input + (self.input if self.mixed else 0))  # mask, and undropped

    def _give_branch(self) -> None:
        if self.mixed or self.dropped:
            self._give(self.input)

    def _to_wide_gradient(self) -> None:
        """Under autocast the gradient leaves the 16-bit part of the model."""
        if self.mixed:
            self._take(self.wide)
            self._give(self.input)

    def _linear(self, linear: Matrices, input_gradient: int) -> None:
        """Gradients of a matrix, its bias and its input; lets its 16-bit copy go."""
        if self.mixed:
            self._take(input_gradient, 2 * linear.total)
            self._give(fixed=2 * linear.total)  # the copy of the weight
            self._take(gradients=self._gradient(linear.total))
            self._give(fixed=2 * linear.total)
        else:
            self._take(input_gradient, gradients=self.e * linear.total)
            if self.held:
                self._alive[2] -= self.e * linear.total

    def _gradient(self, parameters: int) -> int:
        """Bytes that stay of a new gradient: none where it is added to one that is there."""
        return 0 if self.held else self.e * parameters

    def _add(self, size: int) -> None:
        """Two gradients of ``size`` become their sum."""
        self._take(size)
        self._give(2 * size)

    def _take(self, each: int = 0, fixed: int = 0, gradients: int = 0) -> None:
        alive = self._alive
        alive[0] += fixed
        alive[1] += each
        alive[2] += gradients
        self.moments.append(Moment(self._phase, alive[0], alive[1], alive[2], alive[3]))

    def _give(self, each: int = 0, fixed: int = 0) -> None:
        self._alive[0] -= fixed
        self._alive[1] -= each

    def _logits(self, each: int) -> None:
        self._alive[3] += each
        if each > 0:
            self._take()


def _linears(spec: ModelSpec) -> dict[str, Matrices]:
    """The matrices of one block by their short names: q, k, v, o, gate, up, down."""
    sizes: dict[str, list[int]] = {}
    for weight in weights(spec):
        if weight.in_block and weight.group in ("attention", "mlp"):
            module, _, kind = weight.name.rpartition(".")
            name = module.rpartition(".")[2].removesuffix("_proj")
            sizes.setdefault(name, [0, 0])[kind == "bias"] = weight.count // weight.copies
    return {name: Matrices(weight, bias) for name, (weight, bias) in sizes.items()}
