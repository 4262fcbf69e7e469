"""The memory of a real training run, without doing its arithmetic.

Model, update and autograd are the real ones; tensors are fake: they have shapes and storages but
no data, on the CPU device. Every live storage counts once, from the moment an operation makes it.
It takes a few seconds, and next to no memory, for a model of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from engine.backends.torch_backend import TorchBackend, keep_compiled_code
from engine.cost.memory import attention_in_fp32
from engine.cost.passes import sampling_pass, validation_pass
from engine.cost.tape import EMBEDDING, SAMPLING, UPDATE, VALIDATION
from engine.models.cache import KVCache
from engine.models.decoder import Decoder, Output, evaluating
from engine.models.sampling import Sampling, next_token_probabilities
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.memory_meter import LiveStorages
from engine.training.phase_marks import phases_told
from engine.training.update import Batch, Learner, set_up
from engine.training.validation import batch_losses


@dataclass(frozen=True)
class Trace:
    """Most bytes alive in each phase, in the order of the run; names as in engine.cost.memory."""

    phases: dict[str, int]

    @property
    def peak_bytes(self) -> int:
        """The fullest moment of all."""
        return max(self.phases.values())

    @property
    def step_peak_bytes(self) -> int:
        """The fullest moment of a step, without validation and samples."""
        between = (VALIDATION, SAMPLING)
        return max(size for phase, size in self.phases.items() if phase not in between)

    @property
    def peak_phase(self) -> str:
        """When that is."""
        return max(self.phases, key=lambda phase: self.phases[phase])


def traced_step(spec: ModelSpec, run: RunSpec) -> Trace:
    """The second update, which has the optimizer's state already."""
    with fake_tensors():
        model, learner = _learner(spec, run)
        update_told(learner, _batches(spec, run), run, lambda _: None)
        live = LiveStorages()
        live.add(standing(learner))
        live.peaks.clear()
        live.phase = EMBEDDING  # before which its batch is made

        def tell(phase: str) -> None:
            live.phase = phase

        with live, phases_told(model, tell):
            update_told(learner, _batches(spec, run), run, tell)
        return Trace(live.peaks)


def traced_validation(spec: ModelSpec, run: RunSpec) -> int:
    """Most bytes alive while two batches of a validation are measured (one, if that is all)."""
    with fake_tensors():
        model, learner = _learner(spec, run)
        rows = _validation_rows(spec, run)
        batches = (_batch(count, run.sequence_length(spec)) for count in rows)
        live = LiveStorages()
        live.add(standing(learner))
        with live:
            batch_losses(model, batches, _backend(run), lambda: False)
        return live.peak_bytes


def _validation_rows(spec: ModelSpec, run: RunSpec) -> list[int]:
    """Sequences in the first two batches, as ValidationBatches makes them of a long text."""
    least, most = validation_pass(spec, run)
    rows = min(most, max(least, run.batch_size))
    rest = min(rows, most - rows)
    return [rows, rest] if rest else [rows]


def traced_sampling(spec: ModelSpec, run: RunSpec) -> int:
    """Most bytes alive while a sample as long as a run's longest is written.

    The model's passes are real: that over the prompt, the last over a single token, and where
    the context overflows that over its newer half. Which token is drawn depends on data, which
    fake tensors do not have: the way from scores to probabilities runs on real ones, by itself.
    """
    sizes = sampling_pass(spec, run)
    with fake_tensors():
        model, learner = _learner(spec, run)
        cache = KVCache(spec, sizes.capacity)
        live = LiveStorages()
        live.add(standing(learner))
        with live, torch.no_grad(), evaluating(model), _backend(run).autocast():
            if sizes.prompt:
                _read(model, cache, sizes.prompt)
            cache.length = sizes.held - 1
            scores_BTV = _read(model, cache, 1)
            before = live.current_bytes
            if sizes.afresh:
                cache.clear()
                _read(model, cache, sizes.afresh)
        del scores_BTV
    return max(int(live.peak_bytes), before + _choosing_bytes(spec.vocab_size, run))


def _read(model: Decoder, cache: KVCache, tokens: int) -> torch.Tensor | None:
    inputs_BT = torch.zeros((1, tokens), dtype=torch.int64)
    output: Output = model(inputs_BT, cache=cache, last_only=True)
    return output.logits_BTV


def _choosing_bytes(vocab_size: int, run: RunSpec) -> int:
    """Most bytes alive between scores and the probabilities of the next token."""
    scores_V = torch.zeros(vocab_size, dtype=torch.float64)
    with LiveStorages() as live:
        probabilities_V = next_token_probabilities(
            scores_V, Sampling(run.temperature, run.top_k), (), vocab_size
        )
        torch.multinomial(probabilities_V, 1)
    return int(live.peak_bytes)


def traced_run(spec: ModelSpec, run: RunSpec) -> Trace:
    """Every phase of a run: those of a step, validation and samples."""
    phases = dict(traced_step(spec, run).phases)
    phases[VALIDATION] = traced_validation(spec, run)
    phases[SAMPLING] = traced_sampling(spec, run)
    return Trace(phases)


def standing(learner: Learner) -> Iterable[torch.Tensor]:
    """What is there between two updates: weights, their fp32 copies, the optimizer's state."""
    yield from learner.model.parameters()
    yield from learner.masters.weights.values()
    for state in learner.optimizer.state.values():
        yield from state.values()
    yield from learner.optimizer.tables


def fake_tensors() -> AbstractContextManager[Any]:
    """Inside, every tensor that is made is fake."""
    keep_compiled_code()  # torch's compiler comes along, and makes its folder at once
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


def as_computed_here(run: RunSpec) -> RunSpec:
    """The run as formula and trace shall count it on this computer.

    They take it that a CPU computes the scores of a 16-bit model in fp32; one with a matrix unit
    does not.
    """
    if run.device == "cpu" and run.precision != "fp32" and not _backend(run).attention_in_fp32:
        return run.replace(device="auto")
    return run


def _backend(run: RunSpec) -> TorchBackend:
    return TorchBackend(torch.device("cpu"), run.precision)


def _learner(spec: ModelSpec, run: RunSpec) -> tuple[Decoder, Learner]:
    with _default_type(torch.bfloat16 if run.precision == "bf16" else torch.float32):
        model = Decoder(spec)
    set_up(model, run, in_fp32=attention_in_fp32(spec, run))
    return model, Learner(model, run, _backend(run).autocast)


@contextmanager
def _default_type(dtype: torch.dtype) -> Any:
    """Fake parameters cannot be converted: they have to be made in their type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def update_told(
    learner: Learner, batches: Iterable[Batch], run: RunSpec, tell: Callable[[str], None]
) -> None:
    """One update over ``batches``; ``tell`` is told when the way back is over."""
    learner.gradients(batches, run.accumulation_steps)
    tell(UPDATE)
    learner.clip()
    learner.apply(run.learning_rate)


def _batches(spec: ModelSpec, run: RunSpec) -> Iterable[Batch]:
    for _ in range(run.accumulation_steps):
        yield _batch(run.batch_size, run.sequence_length(spec))


def _batch(rows: int, tokens: int) -> Batch:
    shape = (rows, tokens)
    return torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
