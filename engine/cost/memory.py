"""Memory of a training run, as the largest of its phases (never a sum of maxima).

Phases are those of one step, then validation and samples, which with small batches can be the
fullest. Counted is what they keep alive: weights, gradients, optimizer state, tensors saved for the
backward pass, and the temporaries of each phase's largest operation. That is what CUDA reports
as max_memory_allocated. The interpreter, libraries and fragmentation come on top. A Tenstorrent
card is counted by its own operations (engine.cost.card_memory), or where tt-train drives it
estimated (engine.cost.tt_train_memory).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from engine.cost.card_course import CardCourse
from engine.cost.card_memory import card_course, card_peak
from engine.cost.optimizer_memory import state_bytes, table_bytes, update_bytes
from engine.cost.parameters import count
from engine.cost.passes import SamplingPass, ValidationPass, sampling_pass, validation_pass
from engine.cost.reading_tape import ReadingTape
from engine.cost.step_tape import StepTape
from engine.cost.tape import (
    BACKWARD_OF_LAST,
    END_OF_FORWARD,
    KINDS,
    SAMPLING,
    UPDATE,
    VALIDATION,
    Moment,
)
from engine.cost.tt_train_memory import tt_train_memory
from engine.devices.card import card_name
from engine.families.weight import Weight
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

_NOTHING = (0, 0, 0, 0, 0)
_TWO_SIZES = itemgetter(0, 1)


@dataclass(frozen=True)
class Phase:
    """One phase of a run and the bytes alive at its fullest moment, by kind."""

    name: str
    bytes: int
    kinds: dict[str, int]


@dataclass(frozen=True)
class TrainingMemory:
    """Memory of a training run in bytes.

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

    @property
    def learning_peak_bytes(self) -> int:
        """The fullest moment of steps and validation, without samples."""
        return max(phase.bytes for phase in self.phases if phase.name != SAMPLING)

    @property
    def step_peak_bytes(self) -> int:
        """The fullest moment of a step, without validation and samples."""
        between = (VALIDATION, SAMPLING)
        return max(phase.bytes for phase in self.phases if phase.name not in between)


class PhaseLine(NamedTuple):
    """A phase as a straight line over its sequences: fixed bytes plus bytes for each of them.

    They are the batch's; validation has at least ``least`` and at most ``most`` of them.
    """

    name: str
    fixed: tuple[int, int, int, int, int]
    per_sequence: tuple[int, int, int, int, int]
    least: int = 1
    most: int | None = None

    @property
    def slope(self) -> int:
        """Bytes that each further sequence adds."""
        return sum(self.per_sequence)

    def at(self, batch_size: int) -> int:
        """Bytes with ``batch_size`` sequences."""
        return sum(self.fixed) + self.sequences(batch_size) * sum(self.per_sequence)

    def sequences(self, batch_size: int) -> int:
        """How many sequences the phase works on when training does on ``batch_size``."""
        if batch_size < self.least:
            return self.least
        return batch_size if self.most is None else min(batch_size, self.most)

    def largest_batch(self, capacity: int) -> int | None:
        """The largest batch with which the phase fits ``capacity`` bytes; 0: none; None: any."""
        if self.at(1) > capacity:
            return 0
        if not self.slope:
            return None
        fitting = (capacity - sum(self.fixed)) // self.slope
        return None if self.most is not None and fitting >= self.most else fitting


def training_memory(spec: ModelSpec, run: RunSpec) -> TrainingMemory:
    """Memory of a valid design and run."""
    return memory_of_batch(spec, run, run.batch_size)


def memory_of_batch(spec: ModelSpec, run: RunSpec, batch_size: int) -> TrainingMemory:
    """The same with another batch size; what was worked out before is kept."""
    if not card_name(run.device):
        return _memory(_case(spec, run), batch_size)
    if run.card_backend == "tt-train":
        return _by_tt_train(spec, run.replace(batch_size=batch_size))
    return _on_card(card_course(spec, run), batch_size)


def peak_of_batch(spec: ModelSpec, run: RunSpec, batch_size: int) -> int:
    """``peak_bytes`` of ``memory_of_batch``; quicker where that is all that is wanted."""
    if card_name(run.device) and run.card_backend != "tt-train":
        return card_peak(spec, run, batch_size)
    return memory_of_batch(spec, run, batch_size).peak_bytes


class Peak(NamedTuple):
    """The fullest moment of a run: bytes, and what they are taken for."""

    bytes: int
    kinds: dict[str, int]


def fullest_of_batch(spec: ModelSpec, run: RunSpec, batch_size: int) -> Peak:
    """``peak_bytes`` and ``at_peak`` of ``memory_of_batch``, likewise."""
    if card_name(run.device) and run.card_backend != "tt-train":
        return _fullest_on_card(card_course(spec, run), batch_size)
    memory = memory_of_batch(spec, run, batch_size)
    return Peak(memory.peak_bytes, memory.at_peak)


class Held(NamedTuple):
    """Bytes that a step holds whatever its batch: weights, their gradients, optimizer state."""

    weights: int
    gradients: int
    optimizer: int


def held_bytes(spec: ModelSpec, run: RunSpec) -> Held:
    """What no smaller batch takes less of."""
    if card_name(run.device) and run.card_backend != "tt-train":
        course = card_course(spec, run)
        return Held(course.weights, course.gradients, course.state)
    if card_name(run.device):
        least = memory_of_batch(spec, run, 1)
        return Held(least.weights_bytes, least.gradients_bytes, least.optimizer_bytes)
    return _held(spec, run.precision, run.optimizer)


def _held(spec: ModelSpec, precision: str, optimizer: str) -> Held:
    counted, pure = count(spec), precision == "bf16"
    return Held(
        # 16-bit weights and gradients, and an fp32 copy of the weights
        weights=counted.total * (6 if pure else 4),
        gradients=counted.total * (2 if pure else 4),
        optimizer=state_bytes(optimizer, counted.weights) + table_bytes(optimizer, counted.weights),
    )


@lru_cache(maxsize=256)
def _fullest_on_card(course: CardCourse, batch_size: int) -> Peak:
    return Peak(*course.at_peak(batch_size))


@lru_cache(maxsize=256)
def _on_card(course: CardCourse, batch_size: int) -> TrainingMemory:
    """As a card's own operations take it."""
    phases = tuple(Phase(name, *filled) for name, filled in course.phases(batch_size).items())
    return _of_phases(phases, course.weights, course.gradients, course.state)


@lru_cache(maxsize=256)
def _by_tt_train(spec: ModelSpec, run: RunSpec) -> TrainingMemory:
    """As tt-train takes it: an estimate."""
    found = tt_train_memory(spec, run)

    def phase(name: str, activations: int, logits: int, gradients: int) -> Phase:
        sizes = (found.weights, gradients, found.optimizer, activations, logits)
        return Phase(name, sum(sizes), dict(zip(KINDS, sizes, strict=True)))

    kept = found.activations - found.logits
    phases = (
        phase(END_OF_FORWARD, kept, found.logits, found.gradients),
        phase(BACKWARD_OF_LAST, kept + found.working, found.logits, found.gradients),
        phase(UPDATE, 0, 0, found.gradients),
    )
    return _of_phases(phases, found.weights, found.gradients, found.optimizer)


def _of_phases(
    phases: tuple[Phase, ...], weights: int, gradients: int, optimizer: int
) -> TrainingMemory:
    peak = max(phases, key=lambda phase: phase.bytes)
    forward = next(phase for phase in phases if phase.name == END_OF_FORWARD)
    return TrainingMemory(
        weights_bytes=weights,
        gradients_bytes=gradients,
        optimizer_bytes=optimizer,
        activations_bytes=forward.kinds["activations"],
        logits_bytes=max(phase.kinds["logits"] for phase in phases),
        peak_bytes=peak.bytes,
        peak_phase=peak.name,
        phases=phases,
        at_peak=peak.kinds,
    )


class _Case(NamedTuple):
    """What the lines depend on; not the batch, and nothing else of the run.

    ``held``: gradients of earlier micro-batches stay. ``in_fp32``: a 16-bit run that names the CPU
    computes attention's scores in fp32.
    """

    spec: ModelSpec
    seq_len: int
    precision: str
    optimizer: str
    held: bool
    checkpointing: bool
    in_fp32: bool
    kernel: str
    loss_chunk: int | None
    validation: ValidationPass
    sampling: SamplingPass


def _case(spec: ModelSpec, run: RunSpec) -> _Case:
    return _Case(
        spec, run.sequence_length(spec), run.precision, run.optimizer, run.accumulation_steps > 1,
        run.gradient_checkpointing, attention_in_fp32(spec, run), run.attention, run.loss_chunk,
        validation_pass(spec, run), sampling_pass(spec, run),
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _memory(case: _Case, batch_size: int) -> TrainingMemory:
    phases = _phases(_lines(case), batch_size)
    return _of_phases(phases, *_held(case.spec, case.precision, case.optimizer))


def _phases(lines: tuple[PhaseLine, ...], batch_size: int) -> tuple[Phase, ...]:
    """Each phase at its fullest moment, in the order of the step."""
    fullest: dict[str, tuple[int, PhaseLine]] = {}
    for line in lines:
        size = line.at(batch_size)
        rival = fullest.get(line.name)
        if rival is None or size > rival[0]:
            fullest[line.name] = size, line
    return tuple(_phase(line, size, batch_size) for size, line in fullest.values())


def _phase(line: PhaseLine, size: int, batch_size: int) -> Phase:
    n = line.sequences(batch_size)
    weights, gradients, optimizer, activations, logits = line.fixed
    each = line.per_sequence
    kinds = {
        "weights": weights + n * each[0],
        "gradients": gradients + n * each[1],
        "optimizer": optimizer + n * each[2],
        "activations": activations + n * each[3],
        "logits": logits + n * each[4],
    }
    return Phase(line.name, size, kinds)


def phase_lines(spec: ModelSpec, run: RunSpec) -> tuple[PhaseLine, ...]:
    """Every phase as lines over the batch: the highest of a phase's lines is its memory."""
    return _lines(_case(spec, run))


def attention_in_fp32(spec: ModelSpec, run: RunSpec) -> bool:
    """Whether a 16-bit run computes its scores in fp32: on a CPU, where a fused kernel does it.

    The kernel that writes the scores out computes in fp32 anyway.
    """
    fused = not spec.dropout and run.attention != "materialised"
    return run.precision != "fp32" and fused and run.device.strip().lower() == "cpu"


@lru_cache(maxsize=1024)
def _lines(case: _Case) -> tuple[PhaseLine, ...]:
    spec, precision, optimizer = case.spec, case.precision, case.optimizer
    counted = count(spec)
    pure = precision == "bf16"
    weights, _, state = _held(spec, precision, optimizer)
    step = StepTape(
        spec, case.seq_len, precision, case.checkpointing, case.held, case.in_fp32, case.kernel,
        case.loss_chunk,
    )  # fmt: skip
    lines = [
        PhaseLine(
            moment.phase,
            (weights, moment.gradients, state, moment.fixed, moment.chunk),
            (0, 0, 0, moment.activations, moment.logits),
        )
        for moment in _fullest(step.record())
    ]
    gradients = _fullest_gradients(counted.weights) if pure else 4 * counted.total
    lines.append(PhaseLine(UPDATE, (weights, gradients, state, 0, 0), _NOTHING))
    updating = state + update_bytes(optimizer, counted.weights)
    lines.append(PhaseLine(UPDATE, (weights, 4 * counted.total, updating, 0, 0), _NOTHING))
    lines += _between_updates(case, weights, state)
    return tuple(lines)


def _between_updates(case: _Case, weights: int, state: int) -> list[PhaseLine]:
    """Validation and samples, with so many bytes of weights and optimizer state."""

    def tape(tokens: int) -> ReadingTape:
        return ReadingTape(
            case.spec, tokens, case.precision, dropped=False, in_fp32=case.in_fp32,
            kernel=case.kernel,
        )  # fmt: skip

    least, most = case.validation
    validation = tape(case.seq_len).validation(several=most > least, loss_chunk=case.loss_chunk)
    lines = [
        PhaseLine(
            moment.phase,
            (weights, 0, state, moment.fixed, moment.chunk),
            (0, 0, 0, moment.activations, moment.logits),
            least,
            most,
        )
        for moment in _fullest(validation)
    ]
    fullest = max(_sampling(tape, case.sampling), key=lambda moment: sum(moment[1:]))
    kept = fullest.fixed + fullest.activations
    lines.append(PhaseLine(fullest.phase, (weights, 0, state, kept, fullest.logits), _NOTHING))
    return lines


def _sampling(tape: Callable[[int], ReadingTape], sizes: SamplingPass) -> list[Moment]:
    """Everything while one sample is written; its batch is one sequence."""
    moments = tape(1).writing(sizes)
    if sizes.prompt:
        moments += tape(sizes.prompt).reading(sizes, afresh=False)
    if sizes.afresh:
        moments += tape(sizes.afresh).reading(sizes, afresh=True)
    return moments


def _fullest(moments: list[Moment]) -> list[Moment]:
    """The moments that can be the fullest of their phase with some batch size."""
    phases: dict[str, list[tuple[int, int, Moment]]] = {}
    for moment in moments:
        name, fixed, activations, gradients, logits, chunk = moment
        # Steepest first; a flatter line matters only where it starts higher.
        rival = (-activations - logits, -fixed - gradients - chunk, moment)
        if name in phases:
            phases[name].append(rival)
        else:
            phases[name] = [rival]
    kept = []
    for rivals in phases.values():
        rivals.sort(key=_TWO_SIZES)
        lowest = 1
        for _, start, moment in rivals:
            if start < lowest:
                lowest = start
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
