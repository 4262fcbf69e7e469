"""Memory of one training step, as the largest of its phases (never a sum of maxima).

Counted is what the step keeps alive: weights, gradients, optimizer state, tensors saved for the
backward pass, and the temporaries of each phase's largest operation. That is what CUDA reports
as max_memory_allocated. The interpreter, libraries and fragmentation come on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from engine.cost.optimizer_memory import state_bytes, table_bytes, update_bytes
from engine.cost.parameters import count
from engine.cost.step_tape import StepTape
from engine.cost.tape import END_OF_FORWARD, UPDATE, Moment
from engine.families.weight import Weight
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

KINDS = ("weights", "gradients", "optimizer", "activations", "logits")
_NOTHING = (0, 0, 0, 0, 0)


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
        gradients_bytes: one gradient of every parameter, as they stand after backward; what
            their making takes for a moment counts in the phases.
        optimizer_bytes: the optimizer's state; what its update takes for a moment counts in
            the phases.
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
    """The same with another batch size; what was worked out before is kept."""
    return _memory(*_key(spec, run), batch_size)


@lru_cache(maxsize=1024)
def _memory(
    spec: ModelSpec, seq_len: int, precision: str, optimizer: str, held: bool, again: bool,
    in_fp32: bool, kernel: str, loss_chunk: int | None, batch_size: int,
) -> TrainingMemory:  # fmt: skip
    lines = _lines(spec, seq_len, precision, optimizer, held, again, in_fp32, kernel, loss_chunk)
    phases = _phases(lines, batch_size)
    peak = max(phases, key=lambda phase: phase.bytes)
    forward = next(phase for phase in phases if phase.name == END_OF_FORWARD)
    return TrainingMemory(
        weights_bytes=peak.kinds["weights"],
        gradients_bytes=count(spec).total * (2 if precision == "bf16" else 4),
        optimizer_bytes=forward.kinds["optimizer"],
        activations_bytes=forward.kinds["activations"],
        logits_bytes=max(phase.kinds["logits"] for phase in phases),
        peak_bytes=peak.bytes,
        peak_phase=peak.name,
        phases=phases,
        at_peak=peak.kinds,
    )


def _phases(lines: tuple[PhaseLine, ...], batch_size: int) -> tuple[Phase, ...]:
    """Each phase at its fullest moment, in the order of the step."""
    fullest: dict[str, PhaseLine] = {}
    for line in lines:
        rival = fullest.get(line.name)
        if rival is None or line.at(batch_size) > rival.at(batch_size):
            fullest[line.name] = line
    return tuple(_phase(line, batch_size) for line in fullest.values())


def _phase(line: PhaseLine, batch_size: int) -> Phase:
    sizes = [
        fixed + batch_size * each
        for fixed, each in zip(line.fixed, line.per_sequence)  # noqa: B905 - both have five
    ]
    return Phase(line.name, sum(sizes), dict(zip(KINDS, sizes)))  # noqa: B905


def phase_lines(spec: ModelSpec, run: RunSpec) -> tuple[PhaseLine, ...]:
    """Every phase as lines over the batch: the highest of a phase's lines is its memory."""
    return _lines(*_key(spec, run))


def _key(
    spec: ModelSpec, run: RunSpec
) -> tuple[ModelSpec, int, str, str, bool, bool, bool, str, int | None]:
    """What the lines depend on; not the batch, and nothing else of the run.

    A 16-bit run that names the CPU computes attention's scores in fp32.
    """
    held, in_fp32 = run.accumulation_steps > 1, attention_in_fp32(spec, run)
    seq_len = run.sequence_length(spec)
    again, kernel, chunk = run.gradient_checkpointing, run.attention, run.loss_chunk
    return spec, seq_len, run.precision, run.optimizer, held, again, in_fp32, kernel, chunk


def attention_in_fp32(spec: ModelSpec, run: RunSpec) -> bool:
    """Whether a 16-bit run computes its scores in fp32: on a CPU, where a fused kernel does it.

    The kernel that writes the scores out computes in fp32 anyway.
    """
    fused = not spec.dropout and run.attention != "materialised"
    return run.precision != "fp32" and fused and run.device.strip().lower() == "cpu"


@lru_cache(maxsize=1024)
def _lines(
    spec: ModelSpec, seq_len: int, precision: str, optimizer: str, held: bool, again: bool,
    in_fp32: bool, kernel: str, loss_chunk: int | None,
) -> tuple[PhaseLine, ...]:  # fmt: skip
    counted = count(spec)
    pure = precision == "bf16"  # 16-bit weights and gradients, and an fp32 copy of the weights
    weights = counted.total * (6 if pure else 4)
    state = state_bytes(optimizer, counted.weights) + table_bytes(optimizer, counted.weights)
    tape = StepTape(spec, seq_len, precision, again, held, in_fp32, kernel, loss_chunk)
    lines = [
        PhaseLine(
            moment.phase,
            (weights, moment.gradients, state, moment.fixed, moment.chunk),
            (0, 0, 0, moment.activations, moment.logits),
        )
        for moment in _fullest(tape.record())
    ]
    gradients = _fullest_gradients(counted.weights) if pure else 4 * counted.total
    lines.append(PhaseLine(UPDATE, (weights, gradients, state, 0, 0), _NOTHING))
    updating = state + update_bytes(optimizer, counted.weights)
    lines.append(PhaseLine(UPDATE, (weights, 4 * counted.total, updating, 0, 0), _NOTHING))
    return tuple(lines)


def _fullest(moments: list[Moment]) -> list[Moment]:
    """The moments that can be the fullest of their phase with some batch size."""
    phases: dict[str, list[Moment]] = {}
    for moment in moments:
        phases.setdefault(moment.phase, []).append(moment)
    kept = []
    for rivals in phases.values():
        # Steepest first; a flatter line matters only where it starts higher.
        rivals.sort(key=lambda m: (m.activations + m.logits, m.whole), reverse=True)
        highest = -1
        for moment in rivals:
            if moment.whole > highest:
                highest = moment.whole
                kept.append(moment)
    return kept


def _fullest_gradients(weights: tuple[Weight, ...]) -> int:
    """Bytes while 16-bit gradients become fp32 ones, tensor after tensor.

    2 bytes for each that is still to come, 4 for each that is done, 6 for the one in work.
    """
    done = fullest = 0
    total = sum(weight.count for weight in weights)
    for weight in weights:
        done += weight.count - weight.count // weight.copies
        size = weight.count // weight.copies
        fullest = max(fullest, 2 * total + 2 * done + 4 * size)
        done += size
    return fullest
