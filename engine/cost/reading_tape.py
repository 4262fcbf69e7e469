"""What a decoder keeps alive where nothing is learned: in validation and while samples are written.

Gradients are gone by then and nothing is saved for a backward pass; autocast's copies of the
weights stay from one pass to the next.
"""

from __future__ import annotations

from engine.cost.passes import SamplingPass
from engine.cost.tape import FULL, SAMPLING, VALIDATION, Moment, Tape

# Scores become probabilities in fp64: themselves, their distance from the largest, and that
# divided by the temperature.
_CHOOSING_BYTES = 3 * 8


class ReadingTape(Tape):
    """Passes without gradients; dropout is off."""

    def validation(self, *, several: bool, loss_chunk: int | None = None) -> list[Moment]:
        """One batch with its loss; ``several``: earlier ones have made autocast's copies."""
        self._phase = VALIDATION
        copies = self._all_copies() if several else 0
        if loss_chunk is not None and several:  # which makes the head's for itself
            copies -= self._head_copies()
        self._take(2 * 8 * self.tokens, fixed=copies)
        self._through_blocks(copied=several, cache=0)
        scores = self.tokens * self.spec.vocab_size
        if loss_chunk is not None:
            self._cast_features()
            self._take(fixed=self._head_copies())
            self._chunk_logits(2 * FULL * min(loss_chunk, self.tokens) * self.spec.vocab_size)
            return self.moments
        self._head(scores, copied=several)
        if self.a != FULL:
            self._logits(FULL * scores)
        self._logits(FULL * scores)
        return self.moments

    def reading(self, sizes: SamplingPass, *, afresh: bool) -> list[Moment]:
        """One sequence into an empty cache; ``afresh``: into one that was full."""
        self._phase = SAMPLING
        each = 2 * self.key_heads // self.tokens * sizes.capacity
        layers = self.spec.num_layers
        self._take(8 * self.tokens)
        if afresh:
            self._take(fixed=self._all_copies() + layers * each)
        self._through_blocks(copied=afresh, cache=0 if afresh else each)
        self._head(self.spec.vocab_size, copied=afresh)
        return self.moments

    def writing(self, sizes: SamplingPass) -> list[Moment]:
        """One more token, when as many are held as there ever will be."""
        assert self.tokens == 1
        self._phase = SAMPLING
        spec, held = self.spec, sizes.held
        cache = spec.num_layers * 2 * self.key_heads * sizes.capacity
        self._take(fixed=self._all_copies() + cache)
        self._embedding(keep=False)
        narrowed = self.input if self.mixed else 0
        around = self.residual + narrowed
        shared = 2 * self.heads * held if self.grouped else 0
        if self.fused:
            raised = 3 * self._scored() * held if self.in_fp32 else 0
        else:  # keys and values in fp32, scaled keys, and two rows of scores
            wide = self._in_full() * held
            raised = wide + 2 * FULL * spec.num_heads * held
            raised += 2 * wide if self.a != FULL else 0
        self._take(around + 3 * self.heads + shared + raised)
        self._give(3 * self.heads + shared + raised)
        self._take(self.residual + 3 * self.hidden)
        self._give(around + 3 * self.hidden)
        self._head(spec.vocab_size, copied=True)
        self._logits(_CHOOSING_BYTES * spec.vocab_size)
        return self.moments

    def _through_blocks(self, *, copied: bool, cache: int) -> None:
        """Embedding, blocks and final norm; ``cache``: what each block adds to it."""
        layers = self.spec.num_layers
        self._embedding(keep=False)
        self._alive[0] += (layers - 1) * (cache + (0 if copied else self._block_copies()))
        self._block_forward(keep=False, copies=not copied, cache=cache)
        self._alive[0] += cache + (0 if copied else self._block_copies())
        if self.pre:
            self._norm_forward(keep=False)
            self._give(self.residual)
        self._give(fixed=self._rotation() + self._bias())

    def _head(self, scores: int, *, copied: bool) -> None:
        self._cast_features()
        self._take(fixed=0 if copied else self._head_copies())
        self._logits(self.a * scores)

    def _cast_features(self) -> None:
        """From fp32 to the format that matrices multiply; the former go then."""
        if self.mixed:
            self._take(self.input)
            self._give(self.wide)

    def _all_copies(self) -> int:
        return self.spec.num_layers * self._block_copies() + self._head_copies()

    def _head_copies(self) -> int:
        if not self.mixed:
            return 0
        bias = self.spec.vocab_size if self.spec.head_bias else 0
        return 2 * (self.spec.vocab_size * self.spec.hidden_dim + bias)
