"""Memory of one training step, as the largest of its phases (never a sum of maxima).

Counted is what the step keeps alive: weights, gradients, optimizer state, tensors saved for the
backward pass, and the temporaries of each phase's largest operation. That is what CUDA reports
as max_memory_allocated. The interpreter, libraries and fragmentation come on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from engine.cost.parameters import count
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

KINDS = ("weights", "gradients", "optimizer", "activations", "logits")
_OPTIMIZER_NUMBERS = {"adamw": 2, "sgd-momentum": 1, "sgd": 0}


@dataclass(frozen=True)
class Phase:
    """One phase of a step and the bytes alive at its fullest moment, by kind."""

    name: str
    bytes: int
    kinds: dict[str, int]


@dataclass(frozen=True)
class TrainingMemory:
    """Memory of a training step in bytes.

    Attributes:
        weights_bytes: parameters (in pure bf16 with their fp32 master copy).
        gradients_bytes: all gradients.
        optimizer_bytes: the optimizer's state.
        activations_bytes: what the blocks save for the backward pass, at the end of forward.
        logits_bytes: scores of every token, with the copies that the loss makes, at their most.
        peak_bytes: the fullest moment.
        peak_phase: when that is.
        phases: every phase.
        at_peak: the five kinds at that moment; they sum exactly to peak_bytes.
    """

    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    logits_bytes: int
    peak_bytes: int
    peak_phase: str
    phases: tuple[Phase, ...]
    at_peak: dict[str, int]


@dataclass(frozen=True)
class PhaseLine:
    """A phase as a straight line over the batch: fixed bytes plus bytes for each sequence."""

    name: str
    fixed: tuple[int, int, int, int, int]
    per_sequence: tuple[int, int, int, int, int]

    @property
    def slope(self) -> int:
        """Bytes that each further sequence adds."""
        return sum(self.per_sequence)

    def at(self, batch_size: int) -> int:
        """Bytes with ``batch_size`` sequences."""
        return sum(self.fixed) + batch_size * sum(self.per_sequence)


def training_memory(spec: ModelSpec, run: RunSpec) -> TrainingMemory:
    """Memory of one training step of a valid design and run."""
    return memory_of_batch(spec, run, run.batch_size)


def memory_of_batch(spec: ModelSpec, run: RunSpec, batch_size: int) -> TrainingMemory:
    """The same with another batch size: cheap, the lines are kept."""
    lines = phase_lines(spec, run)
    phases = tuple(_phase(line, batch_size) for line in lines)
    peak = max(phases, key=lambda phase: phase.bytes)
    forward = next(phase for phase in phases if phase.name == "end of forward")
    return TrainingMemory(
        weights_bytes=peak.kinds["weights"],
        gradients_bytes=max(phase.kinds["gradients"] for phase in phases),
        optimizer_bytes=peak.kinds["optimizer"],
        activations_bytes=forward.kinds["activations"],
        logits_bytes=max(phase.kinds["logits"] for phase in phases),
        peak_bytes=peak.bytes,
        peak_phase=peak.name,
        phases=phases,
        at_peak=peak.kinds,
    )


def _phase(line: PhaseLine, batch_size: int) -> Phase:
    kinds = {
        kind: fixed + batch_size * each
        for kind, fixed, each in zip(KINDS, line.fixed, line.per_sequence)  # noqa: B905
    }
    return Phase(line.name, sum(kinds.values()), kinds)


def phase_lines(spec: ModelSpec, run: RunSpec) -> tuple[PhaseLine, ...]:
    """Every phase as a line over the batch size."""
    return _lines(
        spec,
        run.sequence_length(spec),
        run.precision,
        run.optimizer,
        run.accumulation_steps > 1,
        run.gradient_checkpointing,
    )


@lru_cache(maxsize=512)
def _lines(
    spec: ModelSpec, seq_len: int, precision: str, optimizer: str, accumulate: bool, again: bool
) -> tuple[PhaseLine, ...]:
    return tuple(_make_lines(spec, seq_len, precision, optimizer, accumulate, again))


def _make_lines(
    spec: ModelSpec, seq_len: int, precision: str, optimizer: str, accumulate: bool, again: bool
) -> Iterator[PhaseLine]:
    parameters = count(spec).total
    e = 2 if precision == "bf16" else 4  # bytes of a parameter and of the residual stream
    a = 4 if precision == "fp32" else 2  # bytes of what matrices are multiplied in
    weights = parameters * (6 if precision == "bf16" else 4)
    state = parameters * 4 * _OPTIMIZER_NUMBERS[optimizer]
    gradients = parameters * e
    block = _saved_in_block(spec, e, a)
    blocks = spec.num_layers * (e * spec.hidden_dim if again else block)
    copies = parameters * 2 if precision == "bf16-mixed" else 0
    saved = seq_len * (blocks + 3 * e * spec.hidden_dim)
    held = gradients if accumulate else 0
    logits = seq_len * spec.vocab_size * (4 if precision == "fp32" else 10)
    loss = logits + 4 * seq_len * spec.vocab_size
    yield PhaseLine("end of forward", (weights, held, state, copies, 0), (0, 0, 0, saved, loss))
    loss_backward = loss + 8 * seq_len * spec.vocab_size
    yield PhaseLine(
        "loss backward", (weights, held, state, copies, 0), (0, 0, 0, saved, loss_backward)
    )
    working = seq_len * (block + 3 * a * spec.mlp_dim)
    yield PhaseLine(
        "backward of the last block",
        (weights, held, state, copies, 0),
        (0, 0, 0, saved + working, 0),
    )
    yield PhaseLine(
        "end of backward", (weights, gradients, state, copies, 0), (0, 0, 0, working, 0)
    )
    full = parameters * 4
    yield PhaseLine("optimizer step", (weights, full, state, 0, 0), (0, 0, 0, 0, 0))


def _saved_in_block(spec: ModelSpec, e: int, a: int) -> int:
    """Bytes a token that one block saves for its backward pass."""
    d, heads, m = spec.hidden_dim, spec.num_heads * spec.head_size, spec.mlp_dim
    norm = e * d + (8 if spec.norm == "layernorm" else 4 * d + 4) + a * d
    attention = 4 * a * heads + 4 * spec.num_heads
    mlp = a * m * {"relu": 1, "gelu": 2}.get(spec.activation, 4)
    return 2 * norm + attention + mlp
