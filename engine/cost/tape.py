"""What a decoder keeps alive as it goes forward, operation by operation, on the CPU.

It follows engine/models as Python runs it: what an operation allocates, what autograd saves of it,
which names still hold a tensor, and what is let go. Sizes are straight lines over the batch: fixed
bytes, and bytes for each sequence.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from engine.families.decoder import weights
from engine.spec import ModelSpec

FULL = 4  # bytes of an fp32 number
# Numbers of the head's 16-bit gradient that are added to its sum at once where the loss goes by
# chunks: 8 MiB in fp32.
HEAD_PIECE = 1 << 21

# The phases of a run, by the names that people read.
EMBEDDING, FORWARD = "embedding", "forward of the blocks"
END_OF_FORWARD = "end of forward"
BACKWARD_OF_LOSS, BACKWARD_OF_HEAD = "backward of the loss", "backward of the head"
BACKWARD_OF_LAST = "backward of the last block"
BACKWARD_BETWEEN = "backward of the blocks between"  # never fuller than both its neighbours
BACKWARD_OF_FIRST = "backward of the first block"
BACKWARD_OF_EMBEDDING = "backward of the embedding"
UPDATE = "update of the weights"
VALIDATION, SAMPLING = "validation", "sampling"
# What memory is taken for.
KINDS = ("weights", "gradients", "optimizer", "activations", "logits")
_MLP = ("gate", "up", "down")


class Moment(NamedTuple):
    """Bytes alive at one moment beside weights and optimizer state.

    ``activations``, ``logits`` are for each sequence, ``fixed`` and ``gradients`` in all;
    ``fixed`` are activations that do not grow with the batch (tables, 16-bit copies of weights),
    ``chunk`` logits that do not: those of one chunk of tokens.
    """

    phase: str
    fixed: int
    activations: int
    gradients: int
    logits: int
    chunk: int = 0


class Matrices(NamedTuple):
    """Parameters of a linear layer: its matrix and its bias."""

    weight: int
    bias: int

    @property
    def total(self) -> int:
        """Both."""
        return self.weight + self.bias


class Tape:
    """The moments of passes through a valid design with sequences of ``seq_len`` tokens.

    ``dropped``: dropout is on. ``in_fp32``: scores are computed in fp32 in a 16-bit model, as it
    is done on CPUs. ``kernel``: a run's ``attention``.
    """

    def __init__(
        self, spec: ModelSpec, seq_len: int, precision: str, *, dropped: bool, in_fp32: bool,
        kernel: str,
    ) -> None:  # fmt: skip
        self.spec = spec
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
        self.rms, self.pre = spec.norm == "rmsnorm", spec.norm_position == "pre"
        self.grouped = spec.num_kv_heads < spec.num_heads
        self.dropped = dropped
        self.fused = kernel == "fused" or (kernel == "auto" and not dropped)
        self.in_fp32 = in_fp32 and self.fused and self.a != FULL
        self.linears = _linears(spec)
        self.norm_parameters = spec.hidden_dim * (1 if self.rms else 2)
        self.moments: list[Moment] = []  # that can be the fullest of their phase
        self._alive = [0, 0, 0, 0, 0]  # fixed, activations, gradients, logits, chunk
        self._phase = ""

    @property
    def _phase(self) -> str:
        return self._name

    @_phase.setter
    def _phase(self, name: str) -> None:
        self._name = name
        self._steady = self._growing = -1  # of the moment in it that was noted last

    def alive(self) -> Moment:
        """What is alive now."""
        return Moment(self._phase, *self._alive)

    # --- what is saved for the backward pass -----------------------------------------------------

    def norm_saved(self) -> int:
        """By a norm, for each sequence: its input and statistics (RMSNorm's in fp32)."""
        return self.residual + self._statistics()

    def attention_saved(self) -> int:
        """By scores and their sum over values: fused without a matrix of scores.

        Written out: one matrix, after softmax; with dropout also its mask, and what is left of the
        scores after it. Scaled queries and keys, and values, are in fp32.
        """
        if self.fused:
            joined = self.heads if self.in_fp32 else 0  # what the output matrix reads
            return 4 * self._scored() + joined + self._row_sums()
        return 3 * self._in_full() + self._long_matrices() * self._scores() + self.heads

    def mlp_saved(self) -> int:
        """Inside the feed-forward network."""
        number = {"relu": 1, "gelu": 2}.get(self.spec.activation, 4)
        return number * self.hidden

    def block_saved(self) -> int:
        """By one block, for each sequence."""
        masks = 2 * self.input if self.dropped else 0
        inputs = 2 * self.input
        return 2 * self.norm_saved() + inputs + self.attention_saved() + self.mlp_saved() + masks

    def _statistics(self) -> int:
        return (FULL if self.rms else 2 * self.e) * self.tokens

    def _row_sums(self) -> int:
        """The logarithm of each row's sum, which a fused kernel keeps."""
        return FULL * self.tokens * self.spec.num_heads

    def _scored(self) -> int:
        """All heads' queries (or keys, or values) in the format that scores are computed in."""
        return self._in_full() if self.in_fp32 else self.heads

    def _in_full(self) -> int:
        """All heads' queries (or keys, or values) in fp32."""
        return self.heads * FULL // self.a

    def _scores(self) -> int:
        return FULL * self.spec.num_heads * self.tokens * self.tokens

    def _long_matrices(self) -> int:
        return 3 if self.dropped else 1

    def _block_copies(self) -> int:
        """Autocast's 16-bit copies of a block's matrices and biases."""
        return 2 * sum(linear.total for linear in self.linears.values()) if self.mixed else 0

    def _saved_copies(self) -> int:
        """Those that the backward pass needs: of the matrices."""
        return 2 * sum(linear.weight for linear in self.linears.values()) if self.mixed else 0

    # --- forward ---------------------------------------------------------------------------------

    def _embedding(self, *, keep: bool) -> None:
        """Leaves the vectors of the tokens and what all blocks share."""
        spec, s, residual = self.spec, self.tokens, self.residual
        self._take(residual)
        if spec.position == "learned":
            rows = self.e * s * spec.hidden_dim
            self._take(residual, fixed=rows + 8 * s)
            self._give(residual, fixed=rows + 8 * s)
        elif spec.position == "sinusoidal":
            table = FULL * s * spec.hidden_dim
            self._take(fixed=5 * table // 2)  # angles, their sines and cosines, both together
            self._give(fixed=3 * table // 2)
            rounded = self.residual if self.pure else 0
            self._take(residual, fixed=rounded)
            self._give(residual, fixed=rounded + table)
        if self.dropped:
            self._take(2 * residual)  # its mask, and what it lets through
            self._give(residual if keep else 2 * residual)
        if self.mixed:  # only to ask for its type
            self._take(self.input)
            self._give(self.input)
        if spec.position == "rope":
            angles = FULL * s * (spec.head_size // 2)
            self._take(fixed=3 * angles + self._rotation())
            self._give(fixed=3 * angles)
        if spec.position == "alibi":
            bias = FULL * spec.num_heads * s * s
            self._take(fixed=2 * bias + 9 * s * s)
            self._give(fixed=2 * bias + 9 * s * s)
            self._take(fixed=self._bias())

    def _rotation(self) -> int:
        """Cosines and sines."""
        if self.spec.position != "rope":
            return 0
        return self.a * self.tokens * (self.spec.head_size // 2) * 2

    def _bias(self) -> int:
        """What ALiBi adds to the scores."""
        if self.spec.position != "alibi":
            return 0
        return (FULL if self.in_fp32 else self.a) * self.spec.num_heads * self.tokens**2

    def _block_forward(
        self, *, keep: bool, copies: bool = True, again: bool = False, cache: int = 0
    ) -> None:
        """Through one block, whose input is alive; afterwards all is as before.

        ``keep``: for a backward pass. ``copies``: autocast's copies of its matrices are made.
        ``again``: only as far as a backward pass asks for it. ``cache``: bytes that come alive
        with the first keys and values.
        """
        before = list(self._alive)
        self._enter_sublayer(("q", "k", "v", "o") if copies else (), keep)
        self._attention_forward(keep, cache)
        self._leave_sublayer(keep)
        names = tuple(name for name in self.linears if name in _MLP)
        self._enter_sublayer(names if copies else (), keep)
        self._mlp_forward(keep, output=not (again and self.pre) or self.dropped)
        if again and self.pre:
            self._take(2 * self.input if self.dropped else 0)
        else:
            self._leave_sublayer(keep)
        self._alive = before

    def _enter_sublayer(self, matrices: tuple[str, ...], keep: bool) -> None:
        """Norm the input where that comes first, cast it and the ``matrices``."""
        if self.pre:
            self._norm_forward(keep)
        if self.mixed:
            copies = 2 * sum(self.linears[name].total for name in matrices)
            self._take(self.input, fixed=copies)

    def _leave_sublayer(self, keep: bool) -> None:
        """Dropout, and the sum with the residual stream."""
        if self.pre and (self.mixed or not keep):
            self._give(self.residual)  # normed
        if self.dropped:
            self._take(2 * self.input)  # a mask, and what it lets through
            self._give(self.input if keep else 2 * self.input)
        self._take(self.residual)
        self._give(self.input)
        if not self.pre:
            self._norm_forward(keep)
            self._give(0 if keep else self.residual)

    def _norm_forward(self, keep: bool) -> None:
        """Leaves its output, and for a backward pass its statistics."""
        raised = 2 * self.wide if self.rms and self.pure else 0  # computed in fp32
        self._take(raised + self.residual + self._statistics())
        self._give(raised + (0 if keep else self._statistics()))

    def _attention_forward(self, keep: bool, cache: int) -> None:
        """Leaves the output beside what is saved."""
        heads, keys = self.heads, self.key_heads
        self._take(heads + 2 * keys)
        if self.spec.position == "rope":
            self._take(2 * heads)
            self._give(heads)
            self._take(2 * keys)
            self._give(heads + 2 * keys)  # before they were turned
        own = heads + 2 * keys
        if self.mixed and not keep:
            self._give(self.input)
        if cache:
            self._take(fixed=cache)
            self._give(2 * keys)
            own = heads
        shared = 2 * heads if self.grouped else 0
        self._take(shared)
        self._scores_forward(keep, bool(cache))
        self._give(0 if keep and self.fused and not self.in_fp32 else shared)
        if not self.fused and self.tokens > 1 and self.spec.num_heads > 1:
            self._take(heads)  # laid out side by side
            self._give(heads)
        self._take(self.input)
        if not keep:
            self._give(own + heads)
        elif self.in_fp32 or not self.fused:
            self._give(own)
        elif self.grouped:
            self._give(2 * keys)

    def _scores_forward(self, keep: bool, cached: bool) -> None:
        """From queries, keys and values of all heads to the joined heads."""
        if not self.fused:
            self._long_attention(keep, cached)
            return
        raised = 3 * self._scored() if self.in_fp32 else 0
        self._take(raised)
        self._take(self._scored() + self._row_sums())
        if not keep:
            self._give(raised + self._row_sums())
        if self.in_fp32:
            self._take(self.heads)
            self._give(0 if keep else self._scored())

    def _long_attention(self, keep: bool, cached: bool) -> None:
        """The same with matrices of scores, as torch writes it out."""
        before, s = list(self._alive), self.tokens
        wide, scores = self._in_full(), self._scores()
        # A head's numbers are not side by side: products of matrices take copies that are. (Not
        # for a single sequence, which a cache belongs to; training one needs a little less.)
        apart = s > 1 and self.spec.num_heads > 1
        moved = wide if apart and not cached else 0
        moved_keys = 0 if self.grouped else moved
        if s > 1 and self.spec.position != "alibi":  # the causal mask, to add
            self._take(fixed=6 * s * s)
            self._give(fixed=2 * s * s)
        casts = 3 * wide if self.a != FULL else 0
        self._take(casts + 2 * wide + moved + moved_keys + scores)
        if keep:
            self._give(wide if moved_keys else 0)
        else:
            self._give(wide + moved + moved_keys)
        self._take(scores)  # the mask is added, then softmax
        self._give(scores)
        if self.dropped:
            self._take(2 * scores)
            self._give(0 if keep else 2 * scores)
        narrowed = scores * self.a // FULL if casts else 0  # a result that nobody uses
        self._take(narrowed + moved_keys + wide)
        self._give(0 if keep else moved_keys)
        self._take(self.heads if casts else 0)
        saved = 3 * wide + self._long_matrices() * scores if keep else 0
        self._alive = before
        before[1] += saved + self.heads

    def _mlp_forward(self, keep: bool, *, output: bool) -> None:
        """Leaves the output beside what is saved."""
        hidden = self.hidden
        self._take(2 * hidden)
        if self.spec.gated:
            self._take(hidden)
            self._give(0 if keep else hidden)
            self._take(hidden)
            self._give(0 if keep else hidden)
        self._take(self.input if output else 0)
        if not keep:
            self._give(2 * hidden + (self.input if self.mixed else 0))
        elif self.spec.activation == "relu":
            self._give(hidden)

    # --- steps of which passes consist -----------------------------------------------------------

    def _take(self, each: int = 0, fixed: int = 0, gradients: int = 0) -> None:
        alive = self._alive
        alive[0] += fixed
        alive[1] += each
        alive[2] += gradients
        steady, growing = alive[0] + alive[2] + alive[4], alive[1] + alive[3]
        if steady > self._steady or growing > self._growing:
            self._steady, self._growing = steady, growing
            self.moments.append(
                Moment(self._name, alive[0], alive[1], alive[2], alive[3], alive[4])
            )

    def _give(self, each: int = 0, fixed: int = 0) -> None:
        self._alive[0] -= fixed
        self._alive[1] -= each

    def _logits(self, each: int) -> None:
        self._alive[3] += each
        if each > 0:
            self._take()

    def _chunk_logits(self, size: int) -> None:
        self._alive[4] += size
        if size > 0:
            self._take()


@lru_cache(maxsize=256)
def _linears(spec: ModelSpec) -> dict[str, Matrices]:
    """The matrices of one block by their short names: q, k, v, o, gate, up, down."""
    sizes: dict[str, list[int]] = {}
    for weight in weights(spec):
        if weight.in_block and weight.group in ("attention", "mlp"):
            module, _, kind = weight.name.rpartition(".")
            name = module.rpartition(".")[2].removesuffix("_proj")
            sizes.setdefault(name, [0, 0])[kind == "bias"] = weight.count // weight.copies
    return {name: Matrices(weight, bias) for name, (weight, bias) in sizes.items()}
