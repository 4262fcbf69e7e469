"""What would lower the peak of a training step, by how much, and what each costs instead.

Every remedy is the present design and run with one thing changed, put through the same exact
account of memory: nothing here knows how much a change saves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.cost.memory import training_memory
from engine.devices.card import card_name
from engine.devices.card_rules import unsupported
from engine.parameter import Value
from engine.run_spec import RunSpec, run_parameters, run_problems
from engine.spec import ModelSpec, problems


@dataclass(frozen=True)
class Change:
    """One thing that can be changed.

    Attributes:
        words: what it is called, as the start of a sentence: "Gradient checkpointing".
        price: what one pays for it.
        run, model: the fields that it changes, with their new values.
    """

    words: str
    price: str
    run: dict[str, Value] = field(default_factory=dict)
    model: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Remedy:
    """A change that lowers the peak.

    Attributes:
        change: what is changed.
        peak_bytes: the peak with it.
        saved_bytes: by how much it is lower than now.
        peak_phase: where the peak is then.
    """

    change: Change
    peak_bytes: int
    saved_bytes: int
    peak_phase: str


_LOSS_CHUNK = 128


def remedies(spec: ModelSpec, run: RunSpec) -> tuple[Remedy, ...]:
    """All single changes that lower the peak of a valid design and run, the best first.

    Mind that the peak only falls to where the next phase begins to be the fullest: a remedy for
    one phase saves nothing where another is nearly as full.
    """
    now = training_memory(spec, run).peak_bytes
    found = []
    for change in possible_changes(spec, run):
        other, lighter = changed(spec, run, change)
        if problems(other) or run_problems(lighter, other) or _no_card_can(change, other, lighter):
            continue
        memory = training_memory(other, lighter)
        if memory.peak_bytes < now:
            saved = now - memory.peak_bytes
            found.append(Remedy(change, memory.peak_bytes, saved, memory.peak_phase))
    return tuple(sorted(found, key=lambda remedy: remedy.peak_bytes))


def _no_card_can(change: Change, spec: ModelSpec, run: RunSpec) -> bool:
    """Whether the run is on a card, whose worker lacks what is changed.

    Its batch is that of one chip: whether all of them can share a batch is another question.
    """
    if not card_name(run.device):
        return False
    refused = {problem.field for problem in unsupported(spec, run)} - {"batch_size"}
    return not refused.isdisjoint(change.run | change.model)


def changed(spec: ModelSpec, run: RunSpec, change: Change) -> tuple[ModelSpec, RunSpec]:
    """The design and run with the change made."""
    return spec.replace(**change.model), run.replace(**change.run)


def possible_changes(spec: ModelSpec, run: RunSpec) -> Iterator[Change]:
    """Single changes that may save memory, those that leave the learning as it is first."""
    known = run_parameters()
    if run.batch_size > 1:
        yield _smaller_batch(run)
    if not run.gradient_checkpointing:
        yield Change(
            "Gradient checkpointing",
            "blocks are computed twice: about a third more work",
            {"gradient_checkpointing": True},
        )
    if run.loss_chunk is None and run.sequence_length(spec) > _LOSS_CHUNK:
        yield Change(
            f"Loss in chunks of {_LOSS_CHUNK} tokens",
            "the scores of a chunk are let go before the next",
            {"loss_chunk": _LOSS_CHUNK},
        )
    if run.attention == "materialised" and not spec.dropout:
        yield Change("Fused attention", "no matrix of scores to look at", {"attention": "auto"})
    if run.precision == "fp32":
        yield Change("bf16 mixed precision", "products in 16 bits", {"precision": "bf16-mixed"})
    if run.precision != "bf16":
        yield Change(
            "Pure bf16", "weights and gradients in 16 bits, a copy of the weights in 32",
            {"precision": "bf16"},
        )  # fmt: skip
    for name, words, price in _OPTIMIZERS:
        choices = known["optimizer"].choices
        if choices is not None and name in choices and name != run.optimizer:
            yield Change(words, price, {"optimizer": name})
    if spec.dropout:
        yield Change(
            "No dropout", "the fused kernel for attention; small texts are sooner learned by heart",
            model={"dropout": 0.0},
        )  # fmt: skip
    length = run.sequence_length(spec)
    if length >= 2:
        yield Change(
            "Half the sequence length", "learns from half the context at a time",
            {"seq_len": length // 2},
        )  # fmt: skip
    if not spec.tied_embeddings:
        yield Change(
            "Tied embeddings",
            "one matrix reads and predicts tokens",
            model={"tied_embeddings": True},
        )


def _smaller_batch(run: RunSpec) -> Change:
    """Half the batch, and twice the batches a step where that keeps the learning the same."""
    if run.batch_size % 2 == 0:
        return Change(
            "Half the batch, twice the accumulation",
            "the same learning in smaller bites, somewhat slower",
            {"batch_size": run.batch_size // 2, "accumulation_steps": 2 * run.accumulation_steps},
        )
    return Change(
        f"A batch of {run.batch_size // 2:,}", "noisier gradients",
        {"batch_size": run.batch_size // 2},
    )  # fmt: skip


_OPTIMIZERS = (
    ("adamw-8bit", "8-bit AdamW", "its two numbers a weight are kept in 8 bits each"),
    ("adafactor", "Adafactor", "a row and a column of statistics instead of two matrices"),
    ("sgd-momentum", "SGD with momentum", "learns language models far slower than AdamW"),
    ("sgd", "Plain SGD", "learns language models far slower than AdamW"),
)
