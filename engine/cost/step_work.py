"""What one training step does, as amounts that take time: the other half of a predicted time.

A step of engine.training on engine.models is counted in closed form, kind of work by kind of
work; engine.cost.time multiplies each amount with what this computer was measured to need for it.
The counts follow the operations that torch launches (a test holds them against those that it
really launches) and the numbers that each reads and writes. They need not be exact to the byte:
what is counted too low everywhere is made good by a higher measured cost.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.cost.parameters import count
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

# Torch gives a share of an operation to a second thread from so many elements (at::internal::
# GRAIN_SIZE), and a matrix library from about so many multiplications.
_SHARED_FROM, _PRODUCT_SHARED_FROM = 32_768, 50_000
# Tensors from this size are mapped anew each time and their pages made one by one: the largest
# threshold of glibc's allocator, which engine.launch asks for.
_FRESH_FROM = 32 << 20
# Bytes that an update reads and writes for each parameter: weight, gradient and state, there and
# back. The length of the gradient and its scaling come on top.
_UPDATE_BYTES = {"adamw": 28, "sgd-momentum": 28, "sgd": 20}
_UPDATE_BYTES_OF_OTHERS = 40
_CLIP_BYTES = 12
# An update goes over each tensor so many times: length, scaling, step.
_UPDATE_KERNELS = 3
# Backward of fused attention is so many times the forward pass: five products for two.
_ATTENTION_BACKWARD = 2.5
_KEYS_OF_A_BLOCK = 512


class Work(NamedTuple):
    """Amounts of one update, all micro-batches; each name is a kind of work with a price.

    Attributes:
        operations: kernels launched: dispatch, autograd, allocation.
        shared_operations: those of them that wake other threads.
        product_flops: of matrix products.
        product_bytes: read and written by matrix products.
        score_blocks: small products that the fused kernel of attention is made of.
        scores: entries of attention's matrices that are computed (softmax).
        score_flops: of attention's products.
        element_bytes: read and written by everything element by element.
        parameter_bytes: read and written for each parameter: update, clip, casts, accumulation.
        logit_bytes: read and written between the head's product and the loss.
        fresh_bytes: of tensors so large that the system makes their pages anew.
        random_numbers: drawn for dropout.
    """

    operations: float
    shared_operations: float
    product_flops: float
    product_bytes: float
    score_blocks: float
    scores: float
    score_flops: float
    element_bytes: float
    parameter_bytes: float
    logit_bytes: float
    fresh_bytes: float
    random_numbers: float


KINDS = Work._fields


def scores_are_materialised(spec: ModelSpec, run: RunSpec, device: str) -> bool:
    """Whether attention writes its matrices of scores out: torch has no fused kernel for it.

    Where the run asks for it, and on the CPU with dropout.
    """
    return run.attention == "materialised" or (spec.dropout > 0 and device == "cpu")


def optimizer_is_known(run: RunSpec) -> bool:
    """Whether the bytes of the run's optimizer are known; else they are a guess."""
    return run.optimizer in _UPDATE_BYTES


def step_work(spec: ModelSpec, run: RunSpec, device: str = "cpu") -> Work:
    """The amounts of one update of a valid design and run on ``device`` (cpu, cuda:0, mps)."""
    return _Tally(spec, run, device).update()


class _Tally:
    """Adds up one micro-batch, then the update. Letters are those of ModelSpec, N tokens."""

    def __init__(self, spec: ModelSpec, run: RunSpec, device: str) -> None:
        self.spec, self.run = spec, run
        self.sequence = run.sequence_length(spec)
        self.tokens = run.batch_size * self.sequence
        self.unfused = scores_are_materialised(spec, run, device)
        self.number = 4 if run.precision == "fp32" else 2  # bytes of what matrices multiply
        self.mixed = run.precision == "bf16-mixed"
        self.operations = self.shared = 0.0
        self.flops = self.product_bytes = 0.0
        self.blocks = self.scores = self.score_flops = 0.0
        self.elements = self.parameters = self.logits = self.fresh = self.random = 0.0

    def update(self) -> Work:
        """Everything of one update."""
        spec, run = self.spec, self.run
        backward = spec.num_layers
        forward = 2 * backward if run.gradient_checkpointing else backward
        self._products(forward, backward)
        self._norms(forward, backward)
        self._residual(forward, backward)
        self._attention(forward, backward)
        self._feed_forward(forward, backward)
        if spec.dropout:
            self._dropout(forward, backward)
        self._ends()
        micro, total = run.accumulation_steps, count(spec).total
        per_update = _UPDATE_BYTES.get(run.optimizer, _UPDATE_BYTES_OF_OTHERS) + _CLIP_BYTES
        tensors, large = self._tensors()
        return Work(
            operations=micro * self.operations + _UPDATE_KERNELS * tensors,
            shared_operations=micro * self.shared + _UPDATE_KERNELS * large,
            product_flops=micro * self.flops,
            product_bytes=micro * self.product_bytes,
            score_blocks=micro * self.blocks,
            scores=micro * self.scores,
            score_flops=micro * self.score_flops,
            element_bytes=micro * self.elements,
            parameter_bytes=micro * self.parameters
            + total * (per_update + 12 * (micro - 1) + (16 if run.precision == "bf16" else 0)),
            logit_bytes=micro * self.logits,
            fresh_bytes=micro * self.fresh,
            random_numbers=micro * self.random,
        )

    # Ways of adding up

    def _product(self, inner: int, outer: int, times: int) -> None:
        """``times`` products of tokens × inner × outer, in whichever order."""
        tokens, numbers = self.tokens, inner * outer
        self.operations += times
        if tokens * numbers >= _PRODUCT_SHARED_FROM:
            self.shared += times
        self.flops += 2.0 * tokens * numbers * times
        self.product_bytes += self.number * times * (tokens * (inner + outer) + numbers)

    def _elementwise(self, kernels: float, size: int, passes: float, times: int, each: int) -> None:
        """``kernels`` over ``size`` numbers of ``each`` bytes that make ``passes`` over them."""
        self.operations += kernels * times
        self.elements += float(passes * size * each * times)
        if size > _SHARED_FROM:
            self.shared += kernels * times
            if size * each >= _FRESH_FROM:
                self.fresh += float(kernels * size * each * times)

    # The parts of a block

    def _matrices(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of each matrix of a block."""
        spec = self.spec
        d, m = spec.hidden_dim, spec.mlp_dim
        queries, keys = spec.num_heads * spec.head_size, spec.num_kv_heads * spec.head_size
        into = ((d, m), (d, m)) if spec.gated else ((d, m),)
        return ((d, queries), (d, keys), (d, keys), (queries, d), *into, (m, d))

    def _products(self, forward: int, backward: int) -> None:
        spec, matrices = self.spec, self._matrices()
        for inner, outer in matrices:
            self._product(inner, outer, forward + 2 * backward)
        self._product(spec.hidden_dim, spec.vocab_size, 3)
        if self.mixed:  # autocast's copies of the weights, and their gradients back in fp32
            numbers = sum(inner * outer for inner, outer in matrices)
            self.operations += len(matrices) * (forward + backward)
            self.parameters += 6.0 * numbers * (forward + backward)
            self.parameters += 12.0 * spec.hidden_dim * spec.vocab_size
        width = spec.hidden_dim
        biases = 3 * spec.qkv_bias + spec.attention_output_bias + 2 * spec.mlp_bias
        self._elementwise(biases, self.tokens * width, biases, backward, self.number)

    def _norms(self, forward: int, backward: int) -> None:
        size, final = self.tokens * self.spec.hidden_dim, self.spec.norm_position == "pre"
        each = 2 if self.run.precision == "bf16" else 4
        forward, backward = 2 * forward + final, 2 * backward + final
        if self.spec.norm == "rmsnorm":
            self._elementwise(3, size, 5, forward, each)
            self._elementwise(6, size, 14, backward, each)
            self.operations += 4 * forward + 2 * backward  # on one number a token
        else:
            self._elementwise(1, size, 2, forward, each)
            self._elementwise(1, size, 5, backward, each)
            if size <= _SHARED_FROM:  # shared whatever their size
                self.shared += forward + 2 * backward
        if self.mixed:
            self._elementwise(1, size, 1.5, forward + backward, each)

    def _residual(self, forward: int, backward: int) -> None:
        """Adding sublayers to the stream, and gradients of what several matrices read."""
        size = self.tokens * self.spec.hidden_dim
        self._elementwise(2, size, 6, forward + backward, 4)
        readers = 3 if self.spec.gated else 2
        self._elementwise(readers, size, 3 * readers, backward, self.number)
        if self.mixed:
            self._elementwise(1, size, 3, forward + backward, 4)

    def _attention(self, forward: int, backward: int) -> None:
        spec = self.spec
        width = spec.num_heads * spec.head_size
        size, keys = self.tokens * width, self.tokens * spec.num_kv_heads * spec.head_size
        if spec.position == "rope":
            for turned in (size, keys):
                self._elementwise(6, turned // 2, 18, forward, self.number)
                self._elementwise(7, turned // 2, 20, backward, self.number)
                self._elementwise(1, turned, 2, forward + backward, self.number)
        if spec.num_kv_heads < spec.num_heads:
            self._elementwise(2, size, 4, forward + backward, self.number)
        passes = forward + _ATTENTION_BACKWARD * backward
        self.operations += 2 * (forward + backward)
        self.shared += 2 * (forward + backward)
        a_row, blocks = self._score_blocks()
        entries = self.tokens * spec.num_heads * a_row
        self.blocks += float(passes * 2 * self.run.batch_size * spec.num_heads * blocks)
        self.scores += passes * entries
        self.score_flops += 4.0 * passes * entries * spec.head_size
        if self.unfused:
            self._elementwise(5, int(entries), 12, forward, 4)
            self._elementwise(5, int(entries), 14, backward, 4)

    def _score_blocks(self) -> tuple[float, float]:
        """Scores that are computed for each token, and blocks of them for each head of a sequence.

        The fused kernel goes by 32, 64 or 256 queries (more in longer sequences) and 512 keys.
        Blocks of keys that are ahead of all queries of a block are left out, unless a mask has
        to be looked at; within a block all are computed.
        """
        length = self.sequence
        if self.unfused:
            return float(length), 1.0
        queries = 256 if length >= 768 else 64 if length >= 192 else 32
        rows = -(-length // queries)
        if self.spec.position == "alibi":
            return float(length), float(rows * -(-length // _KEYS_OF_A_BLOCK))
        in_step = _KEYS_OF_A_BLOCK // queries  # rows that reach equally many blocks of keys
        whole, rest = divmod(rows, in_step)
        blocks = in_step * whole * (whole + 1) // 2 + rest * (whole + 1)
        last, furthest = (rest, whole + 1) if rest else (in_step, whole)
        missing = max(0, _KEYS_OF_A_BLOCK * furthest - length)  # keys of the last block
        return (_KEYS_OF_A_BLOCK * blocks - missing * last) / rows, float(blocks)

    def _feed_forward(self, forward: int, backward: int) -> None:
        size, bend = self.tokens * self.spec.mlp_dim, 0 if self.spec.activation == "relu" else 2
        if self.spec.gated:
            self._elementwise(2, size, 5 + bend, forward, self.number)
            self._elementwise(3, size, 9 + bend, backward, self.number)
        else:
            self._elementwise(1, size, 2 + bend, forward, self.number)
            self._elementwise(1, size, 3 + bend, backward, self.number)

    def _dropout(self, forward: int, backward: int) -> None:
        spec, size = self.spec, self.tokens * self.spec.hidden_dim
        self._elementwise(6, size, 10, forward, self.number)
        self._elementwise(2, size, 6, backward, self.number)
        self.random += float(2 * size * forward + size)
        if self.unfused:
            self.random += float(self.tokens * spec.num_heads * self.sequence * forward)

    # Before and after the blocks

    def _ends(self) -> None:
        """Embedding, loss and what is done once a micro-batch."""
        spec = self.spec
        table, size = spec.vocab_size * spec.hidden_dim, self.tokens * spec.hidden_dim
        self._elementwise(2, size, 4, 1, 4)
        self.parameters += 4.0 * table * (4 if spec.tied_embeddings else 1)
        scores = self.tokens * spec.vocab_size
        wide = 4 * scores
        casts = 12 * scores if self.number == 2 else 0
        self.logits += 6.0 * wide + casts
        self.operations += 25
        self.shared += 4 * (scores > _SHARED_FROM)
        if wide >= _FRESH_FROM:
            self.fresh += 4.0 * wide
        if 4 * table >= _FRESH_FROM:
            self.fresh += 8.0 * table

    def _tensors(self) -> tuple[int, int]:
        """Tensors that an update goes through one by one, and how many of them are large."""
        spec, matrices = self.spec, self._matrices()
        norms = 2 if spec.norm == "rmsnorm" else 4
        biases = 3 * spec.qkv_bias + spec.attention_output_bias + 3 * spec.mlp_bias
        large = sum(inner * outer > _SHARED_FROM for inner, outer in matrices)
        tables = spec.vocab_size * spec.hidden_dim > _SHARED_FROM
        return (
            spec.num_layers * (len(matrices) + norms + biases) + 3,
            spec.num_layers * large + tables,
        )
