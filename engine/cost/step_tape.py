"""What one training step keeps alive, moment by moment, as autograd goes through it.

It follows the decoder of engine/models and the update of engine/training on the CPU, operation
by operation: what each saves for its backward pass, what it allocates, and what is let go after
it. The way forward is engine.cost.tape's.

CUDA's kernels keep less, so for a GPU this is an upper bound of what the tensors take. As torch's
own declarations and decompositions say (nothing here was run on a GPU):

- Attention with dropout is fused there: joined heads, a row's sums and the generator's two numbers,
  where the CPU goes the long way with matrices of scores. A run that asks for ``fused`` is counted
  so.
- A 16-bit model's scores are never computed in fp32 tensors (``in_fp32`` is the CPU's).
- Dropout's mask is a byte a number (native_dropout), not a number of the activations' type.
- RMSNorm's backward pass is one kernel (_fused_rms_norm), without the wide tensors between; what
  it saves, the input and one fp32 number a token, is the same.

What is not a tensor comes on top there: the context, cuBLAS's workspace (8 × 4 MiB with the setting
that deterministic products need; the allocator counts it as live), and rounding to 512 bytes.
"""

from __future__ import annotations

from engine.cost.tape import (
    BACKWARD_OF_EMBEDDING,
    BACKWARD_OF_FIRST,
    BACKWARD_OF_HEAD,
    BACKWARD_OF_LAST,
    BACKWARD_OF_LOSS,
    EMBEDDING,
    END_OF_FORWARD,
    FORWARD,
    FULL,
    HEAD_PIECE,
    Matrices,
    Moment,
    Tape,
)
from engine.families.decoder import weights
from engine.spec import ModelSpec


class StepTape(Tape):
    """One training step of a valid design with sequences of ``seq_len`` tokens.

    ``again``: gradient checkpointing. ``held``: the gradients of earlier micro-batches stay.
    ``in_fp32``: scores are computed in fp32 in a 16-bit model. ``kernel``: a run's ``attention``.
    ``loss_chunk``: tokens whose logits exist at once; None: all of the batch.
    """

    def __init__(
        self, spec: ModelSpec, seq_len: int, precision: str, again: bool, held: bool,
        in_fp32: bool = False, kernel: str = "auto", loss_chunk: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            spec, seq_len, precision, dropped=spec.dropout > 0, in_fp32=in_fp32, kernel=kernel
        )
        self.again, self.held = again, held
        self.chunk = None if loss_chunk is None else min(loss_chunk, seq_len)

    def record(self) -> list[Moment]:
        """Go through the step; return every moment at which something was allocated."""
        layers = self.spec.num_layers
        saved = self.residual if self.again else self.block_saved()
        self._begin()
        self._phase = FORWARD
        self._alive[0] += (layers - 1) * self._block_copies()
        self._alive[1] += (layers - 1) * saved
        self._block_forward(keep=not self.again)
        self._take(saved, self._block_copies())
        self._give(self.residual)  # the last block's output, which the head counts as its own
        self._give(fixed=self._shared_by_blocks(saved=False))
        self._phase = END_OF_FORWARD
        if self.pre:
            self._norm_forward(keep=True)
            self._give(self.residual + self._statistics())
        if self.chunk is None:
            self._head_and_loss()
        else:
            self._chunked_head_and_loss(self.chunk)
        noted = len(self.moments)
        self._block_backward(BACKWARD_OF_LAST)
        if layers > 1:
            self._go_to_first_block(self.moments[noted:], saved)
        self._give(fixed=self._shared_by_blocks(saved=True))
        self._embedding_backward()
        return self.moments

    def _go_to_first_block(self, moments: list[Moment], saved: int) -> None:
        """From the end of the last block's way back, which had these ``moments``, to the first's.

        All blocks are alike, so the fullest one is the last (nothing given back yet) or the
        first (all gradients there already), which differs from it by what has come and gone.
        """
        others = self.spec.num_layers - 1
        fixed = 0 if self.again else -others * self._saved_copies()
        gradients = 0 if self.held else others * self._block_gradients()
        each = -others * saved
        self.moments += [
            Moment(
                BACKWARD_OF_FIRST,
                moment.fixed + fixed,
                moment.activations + each,
                moment.gradients + gradients,
                moment.logits,
            )
            for moment in moments
        ]
        self._alive[0] += fixed
        self._alive[1] += each
        self._alive[2] += gradients

    def _begin(self) -> None:
        self._phase = EMBEDDING
        if self.held:
            self._alive[2] += self.e * sum(weight.count for weight in weights(self.spec))
        self._take(2 * 8 * self.tokens)  # token numbers and targets
        self._embedding(keep=True)

    def _shared_by_blocks(self, *, saved: bool) -> int:
        """Tables that go when the forward pass is over, or (``saved``) with the last block.

        The long way through attention does not need ALiBi's any more, unless a block will be
        computed again.
        """
        lasting = self.fused or self.again
        bias = self._bias() if lasting == saved else 0
        return bias + (self._rotation() if saved else 0)

    def _block_gradients(self) -> int:
        parameters = sum(linear.total for linear in self.linears.values())
        return self.e * (parameters + 2 * self.norm_parameters)

    def _release_copies(self, layers: int, head_bias: int) -> None:
        """Autocast's context ends: copies that no operation saved go."""
        if not self.mixed:
            return
        saved = 0 if self.again else self._saved_copies()
        self._give(fixed=layers * (self._block_copies() - saved) + 2 * head_bias)

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
        self._cast_features(copies)
        raised = 0 if self.a == FULL else FULL * scores
        self._logits(self.a * scores + raised)
        self._logits(FULL * scores)
        self._logits(-(self.a * scores + raised))
        self._release_copies(spec.num_layers, bias)
        self._phase = BACKWARD_OF_LOSS
        self._logits(2 * FULL * scores)
        self._logits(-2 * FULL * scores)
        if raised:
            self._logits(self.a * scores)
            self._logits(-raised)
        self._phase = BACKWARD_OF_HEAD
        self._linear(Matrices(matrix, bias), self.input, self.input, logits=self.a * scores)
        if self.held and spec.tied_embeddings:  # waits for the embedding's part before it is added
            self._alive[2] += self.e * matrix
        self._to_wide_gradient()
        if pre:
            self._norm_backward(accumulate=False)

    def _cast_features(self, copies: int) -> None:
        """What the head reads, in the format that matrices multiply, and its own 16-bit copies."""
        if self.mixed:  # from fp32, which goes then
            self._take(self.input + self.wide)
            self._give(self.input + self.wide)
        self._take(self.input, copies)

    def _chunked_head_and_loss(self, chunk: int) -> None:
        """The same with each chunk's gradients computed in the forward pass (chunked_loss)."""
        spec, pre = self.spec, self.spec.norm_position == "pre"
        bias = spec.vocab_size if spec.head_bias else 0
        parameters = spec.vocab_size * spec.hidden_dim + bias
        copies = 2 * parameters if self.mixed else 0
        exact = FULL * parameters  # the head's gradient, summed in fp32
        self._phase = END_OF_FORWARD
        if pre:
            self._take(self.norm_saved())
        self._cast_features(copies)
        self._take(self.input, gradients=exact)  # and the gradient of the features
        self._one_chunk(chunk)
        self._give(self.input, copies)
        self._release_copies(spec.num_layers, 0)
        self._phase = BACKWARD_OF_LOSS  # and of the head: they are one operation
        self._take()
        if self.pure:
            self._take(gradients=self.e * parameters)
            self._alive[2] -= exact
        if self.held and not spec.tied_embeddings:  # added to the one that is there
            self._alive[2] -= self.e * parameters
        elif self.held and spec.head_bias:
            self._alive[2] -= self.e * spec.vocab_size
        self._to_wide_gradient()
        if pre:
            self._norm_backward(accumulate=False)

    def _one_chunk(self, chunk: int) -> None:
        """Logits, log probabilities, their gradient; in 16 bits a part of the head's as well."""
        spec = self.spec
        scores = chunk * spec.vocab_size
        self._chunk_logits(2 * FULL * scores)
        if self.a != FULL:
            self._chunk_logits((self.a - 2 * FULL) * scores)
            head = spec.vocab_size * spec.hidden_dim
            rows = max(1, HEAD_PIECE // spec.hidden_dim)
            part = self.a * head + FULL * min(head, rows * spec.hidden_dim)
            self._take(fixed=part)
            self._give(fixed=part)
            self._chunk_logits(-self.a * scores)
        else:
            self._chunk_logits(-2 * FULL * scores)

    # --- backward --------------------------------------------------------------------------------

    def _block_backward(self, phase: str) -> None:
        """One block, with the gradient of its output alive; leaves that of its input."""
        self._phase = phase
        if self.again:
            # Pre-norm, mixed: the sublayer's gradient is cast before what it meets is asked for.
            cast = self.input if self.pre and self.mixed else 0
            self._take(cast)
            self._run_again()
            self._give(cast)  # it is taken again with the sublayer's way back
        for sublayer in (self._mlp_backward, self._attention_backward):
            if self.pre:
                sublayer(0)
                self._norm_backward(accumulate=True)
                continue
            self._norm_backward(accumulate=False)
            # What the sublayer reads is the residual stream itself, unless it was cast: gradients
            # are added to the stream's as they come.
            sublayer(0 if self.mixed else self.residual)
            if self.mixed:
                self._add(self.residual)
        if self.again:  # what was kept of the block's input beside what the block saves of it
            self._give(self.residual - self._input_is_saved())

    def _run_again(self) -> None:
        """The forward pass of a checkpointed block: what it saves is there again."""
        self._block_forward(keep=True, again=True)
        self._take(self.block_saved() - self._input_is_saved(), self._saved_copies())

    def _input_is_saved(self) -> int:
        """Bytes of a block's input that the block saves in any case, not a copy of it."""
        if self.spec.norm_position == "pre":
            return self.residual
        return 0 if self.mixed else self.residual

    def _mlp_backward(self, stream: int) -> None:
        spec, linears = self.spec, self.linears
        self._branch_gradient()
        read = 0 if spec.activation == "relu" else self.hidden  # by down alone
        self._linear(linears["down"], self.hidden, read + self._branch())
        if spec.gated:
            self._take(2 * self.hidden)
            self._give(3 * self.hidden)  # the product's gradient, what was multiplied
            self._take(self.hidden)  # through the bend
            self._give(2 * self.hidden)
            self._linear(linears["gate"], self.input, self.hidden, added=stream)
            self._linear(linears["up"], self.input, self.hidden + self.input, added=self.input)
        else:
            self._take(self.hidden)
            self._give(2 * self.hidden)
            self._linear(linears["up"], self.input, self.hidden + self.input, added=stream)
        self._to_wide_gradient()

    def _attention_backward(self, stream: int) -> None:
        heads, keys, linears = self.heads, self.key_heads, self.linears
        self._branch_gradient()
        joined = heads if self.in_fp32 or not self.fused else 0  # kept for the output matrix alone
        self._linear(linears["o"], heads, joined + self._branch())
        if self.in_fp32:
            self._fp32_attention_backward()
        elif self.fused:
            self._take(3 * heads)
            self._give(heads + self.attention_saved())
        else:
            self._long_attention_backward()
        self._take(2 * keys)
        self._give(2 * heads)  # keys and values of all heads are summed into their groups
        self._linear(linears["v"], self.input, keys, added=stream)
        self._linear(linears["k"], self.input, keys, added=self.input)
        self._linear(linears["q"], self.input, heads + self.input, added=self.input)
        self._to_wide_gradient()

    def _fp32_attention_backward(self) -> None:
        """Cast the heads' gradient, go through the fused kernel in fp32, cast back."""
        heads, wide = self.heads, self._scored()
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
            self._take(self.residual, gradients=self.e * self.norm_parameters)
            self._accumulated(self.norm_parameters)
            self._give(self.residual + self.norm_saved())
            if accumulate:
                self._add(self.residual)
            return
        wide, row = self.wide, FULL * self.tokens
        raised = wide if self.pure else 0  # the output's gradient in fp32
        self._take(raised)
        self._take(2 * wide)  # normed, and multiplied by the gradient
        self._take(row, gradients=self.e * self.norm_parameters)
        self._accumulated(self.norm_parameters)
        self._give(wide)
        self._take(wide)  # the input's gradient
        if self.pure:  # and the same in 16 bits
            self._take(self.residual)
            self._give(self.residual)
        self._give(raised + 2 * wide + row + self.norm_saved())
        if accumulate:
            self._add(self.residual)

    def _embedding_backward(self) -> None:
        self._phase = BACKWARD_OF_EMBEDDING
        spec = self.spec
        if self.dropped:
            self._take(self.residual)
            self._give(2 * self.residual)
        if spec.position == "learned":
            width = self.e * spec.hidden_dim
            self._take(fixed=self.tokens * width)
            self._take(gradients=self.e * spec.max_seq_len * spec.hidden_dim)
            self._accumulated(spec.max_seq_len * spec.hidden_dim)
            self._give(fixed=self.tokens * width)
        table = self.e * spec.vocab_size * spec.hidden_dim
        self._take(gradients=table)
        self._give(self.residual)
        a_view = self.chunk is None and not self.mixed
        if spec.tied_embeddings and a_view:  # of the head's gradient: not added in place
            self._take(gradients=table)

    # --- steps of which the above consist --------------------------------------------------------

    def _branch_gradient(self) -> None:
        """The gradient that goes into a sublayer, beside that of the residual stream."""
        if self.mixed:
            self._take(self.input)
        if self.dropped:
            self._take(self.input)
            self._give(self.input + (self.input if self.mixed else 0))  # mask, and undropped

    def _branch(self) -> int:
        """That gradient, where it is another one than the residual stream's."""
        return self.input if self.mixed or self.dropped else 0

    def _to_wide_gradient(self) -> None:
        """Under autocast the gradient leaves the 16-bit part of the model."""
        if self.mixed:
            self._take(self.wide)
            self._give(self.input)

    def _linear(
        self, linear: Matrices, input_gradient: int, freed: int, *, added: int = 0, logits: int = 0
    ) -> None:
        """Gradients of a matrix, its bias and its input.

        ``freed``, ``logits``: what goes with it, what it read and the gradient of its output.
        ``added``: the gradient of its input is added to another one of that size.
        """
        if self.mixed:
            self._take(input_gradient, 2 * linear.total)
            self._give(freed, fixed=2 * linear.weight)  # the copy of the weight
        else:
            self._take(input_gradient, gradients=self.e * linear.total)
            self._accumulated(linear.total)
            self._give(freed)
        self._logits(-logits)
        if added:
            if self.pre or self.mixed:  # to another matrix's, which is a view: not in place
                self._take(added)
                self._give(added)
            self._add(added)
        if self.mixed:
            self._take(gradients=self.e * linear.total)
            self._give(fixed=2 * linear.total)
            self._accumulated(linear.total)

    def _accumulated(self, parameters: int) -> None:
        """A new gradient goes where there is one already, to which it was added."""
        if self.held:
            self._alive[2] -= self.e * parameters

    def _add(self, size: int) -> None:
        """One gradient of ``size`` is added to another, in place."""
        self._give(size)
