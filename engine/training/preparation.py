"""From two specs to everything that a run needs: text, tokenizer, batches, model, floors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.backends.torch_backend import TorchBackend, open_backend, torch_can_use
from engine.cost.calibration import Calibration, CalibrationError, load_calibration
from engine.cost.memory import TrainingMemory, training_memory
from engine.cost.time import measured_step
from engine.data.corpora import Corpus, load_corpus
from engine.data.dataset import (
    BatchSource,
    TokenDataset,
    encode_dataset,
    train_tokenizer_for_split,
)
from engine.data.ngrams import floors
from engine.data.tokenizers import Tokenizer, load_tokenizer
from engine.devices.host import cpu_device, resolve_device
from engine.devices.preflight import CardNotReadyError, preflight
from engine.events import Preparing, Started, Warned
from engine.models.decoder import Decoder, build
from engine.parameter import SpecError
from engine.run_directory import RunDirectory, RunRecord
from engine.run_spec import RunSpec, attention_problem, check_run
from engine.spec import ModelSpec, check
from engine.training.compilation import compile_from
from engine.training.control import Control
from engine.training.loop import Parts
from engine.training.recorder import Recorder
from engine.training.sampling import Sampler
from engine.training.update import Learner, set_up
from engine.training.versions import versions

_REPORT_EVERY_S = 0.1


class CancelledError(Exception):
    """A person stopped the run before its first step."""


@dataclass(frozen=True)
class Prepared:
    """A run that is ready, with what its Started event says."""

    parts: Parts
    started: Started
    compile_from: int | None


class Announcer:
    """Emits Preparing events, a few a second at most, and notices a stop."""

    def __init__(self, record: Recorder, control: Control) -> None:
        self._record, self._control = record, control
        self._last = 0.0

    def say(self, message: str) -> None:
        """A new stage begins."""
        if self._control.stopping():
            raise CancelledError
        self._last = time.monotonic()
        self._record(Preparing(message))

    def progress(self, message: str) -> Callable[[int, int | None], None]:
        """A callback for a stage that counts what it has done."""

        def report(done: int, total: int | None) -> None:
            if self._control.stopping():
                raise CancelledError
            now = time.monotonic()
            if now - self._last >= _REPORT_EVERY_S:
                self._last = now
                self._record(Preparing(message, min(1.0, done / total) if total else None))

        return report


def prepare(directory: RunDirectory, recorder: Recorder, control: Control) -> Prepared:
    """Make everything ready, telling of it by events.

    Raises SpecError, CorpusError, TokenizerError or RunDirectoryError with a message that says
    what to do, and CancelledError when a person stops it.
    """
    record = directory.record()
    spec, run = check(record.model), check_run(record.run, record.model)
    announcer = Announcer(recorder, control)
    backend = choose_backend(run, recorder)
    unfused = attention_problem(run, spec, str(backend.device))
    if unfused is not None:  # "auto" may have become a device that has no such kernel
        raise unfused
    corpus = _corpus(directory, record, backend, announcer)
    tokenizer = _tokenizer(directory, spec, run, corpus, announcer)
    if tokenizer.vocab_size < spec.vocab_size:
        unused = spec.vocab_size - tokenizer.vocab_size
        recorder(
            Warned(
                f"the tokenizer has {tokenizer.vocab_size:,} tokens: {unused:,} of the model's "
                f"{spec.vocab_size:,} rows are never used, and samples leave them out"
            )
        )
    dataset = encode_dataset(
        tokenizer, corpus.text, run.train_fraction, announcer.progress("cutting the text to tokens")
    )
    seq_len = run.sequence_length(spec)
    source = BatchSource(dataset, run.batch_size, seq_len, run.seed, run.accumulation_steps)
    announcer.say("building the model")
    model = build(spec, device=backend.device, dtype=backend.weight_dtype, seed=run.seed)
    set_up(model, run, in_fp32=backend.attention_in_fp32)
    learner = Learner(model, run, backend.autocast)
    announcer.say("counting n-grams for the floors")
    started = _started(spec, run, backend, dataset, model, floors_of(dataset, source, run))
    _warn_of_memory(_counted(spec, run, backend).peak_bytes, recorder, backend)
    sampler = Sampler(model, tokenizer, run, backend, corpus.prompts)
    parts = Parts(directory, spec, run, backend, model, learner, source, sampler, versions())
    predicted_s = started.predicted.get("step_s")
    return Prepared(parts, started, compile_from(run, backend.device.type, predicted_s))


def choose_backend(run: RunSpec, recorder: Recorder | None = None) -> TorchBackend:
    """The device that the run asks for, ready; raise SpecError where that is not possible.

    ``auto`` passes over a GPU that this torch cannot use, and says so. A Tenstorrent card raises
    CardNotReadyError with the checklist of what is missing.
    """
    device = resolve_device(run.device)
    if device.kind == "card":
        raise CardNotReadyError(preflight(device.name))
    name = device.name
    if run.device.strip().lower() == "auto" and not torch_can_use(name):
        if recorder is not None:
            recorder(
                Warned(
                    f"{device.title} ({name}) is here, but the installed torch cannot use it: "
                    "training on the processor. Install torch with support for it"
                )
            )
        name = cpu_device().name
    return open_backend(name, run.precision, threads=run.threads, seed=run.seed)


def _corpus(
    directory: RunDirectory, record: RunRecord, backend: TorchBackend, announcer: Announcer
) -> Corpus:
    """The text, which must be the one that an earlier segment learned from."""
    announcer.say(f"reading the text {record.run.corpus[:80]}")
    corpus = load_corpus(record.run.corpus, progress=announcer.progress("reading the text"))
    if record.corpus_sha256 and record.corpus_sha256 != corpus.sha256:
        raise SpecError(
            "corpus",
            f"{record.run.corpus} has changed since this run began: going on with another text "
            "would spoil it. Put the old text back, or start a new run",
        )
    directory.write_record(
        replace(
            record,
            corpus_name=corpus.name,
            corpus_sha256=corpus.sha256,
            device=str(backend.device),
            versions=versions(),
        )
    )
    return corpus


def _tokenizer(
    directory: RunDirectory, spec: ModelSpec, run: RunSpec, corpus: Corpus, announcer: Announcer
) -> Tokenizer:
    """The run's own tokenizer: made once, then read from its directory."""
    if directory.tokenizer_file.exists():
        return load_tokenizer(directory.tokenizer_file)
    message = "learning the tokenizer"
    announcer.say(message)
    tokenizer = train_tokenizer_for_split(
        run.tokenizer, corpus.text, spec.vocab_size, run.train_fraction,
        announcer.progress(message),
    )  # fmt: skip
    tokenizer.save(directory.tokenizer_file)
    return tokenizer


def _started(
    spec: ModelSpec,
    run: RunSpec,
    backend: TorchBackend,
    dataset: TokenDataset,
    model: Decoder,
    held_out: dict[str, float],
) -> Started:
    return Started(
        step=0,
        total_steps=run.steps,
        segment=1,
        params=sum(parameter.numel() for parameter in model.parameters()),
        device=str(backend.device),
        precision=run.precision,
        tokens_per_step=run.tokens_per_step(spec),
        train_tokens=len(dataset.train),
        validation_tokens=len(dataset.validation),
        vocab_size=dataset.vocab_size,
        floors=held_out,
        predicted=predictions(spec, run, backend),
    )


def predictions(spec: ModelSpec, run: RunSpec, backend: TorchBackend) -> dict[str, float]:
    """Estimates made before the run: ``peak_bytes``, and ``step_s`` where speed was measured.

    ``peak_bytes`` is of what engine.training.memory_meter measures: on the CPU of steps alone.
    ``step_s_low`` and ``step_s_high`` are the ends of the step's range.
    """
    memory = _counted(spec, run, backend)
    on_cpu = backend.device.type == "cpu"
    found = {"peak_bytes": float(memory.step_peak_bytes if on_cpu else memory.peak_bytes)}
    calibration = stored_calibration(str(backend.device))
    step = measured_step(spec, run, calibration) if calibration is not None else None
    if step is not None:
        found |= {"step_s": step.seconds, "step_s_low": step.low, "step_s_high": step.high}
    return found


def _counted(spec: ModelSpec, run: RunSpec, backend: TorchBackend) -> TrainingMemory:
    here = run.replace(device="cpu" if backend.attention_in_fp32 else "auto")
    return training_memory(spec, here)


def stored_calibration(device: str) -> Calibration | None:
    """What was measured of ``device``; None where nothing was or the file is damaged.

    A damaged file costs a prediction, not a run: `calibrate` says what is wrong with it.
    """
    try:
        return load_calibration(device)
    except CalibrationError:
        return None


def _warn_of_memory(needed: int, recorder: Recorder, backend: TorchBackend) -> None:
    """Say before the first step that it will hardly fit: a full memory can kill without a word."""
    free = backend.free_memory_bytes()
    if free is not None and needed > free:
        recorder(
            Warned(
                f"this run needs about {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are "
                "free: the system may end it. Less memory: smaller batch, shorter sequences, "
                "gradient checkpointing"
            )
        )


def floors_of(dataset: TokenDataset, source: BatchSource, run: RunSpec) -> dict[str, float]:
    """What tables of n-grams score on the very tokens of a validation, nats a token, by name."""
    targets = source.validation_batches(run.validation_tokens).target_positions()
    found = floors(dataset.train, dataset.validation, dataset.vocab_size, targets=targets)
    return found.named()
