"""From a run's record to its batches: text, tokenizer, dataset, floors. Needs numpy, not torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from engine.data.corpora import Corpus, load_corpus
from engine.data.dataset import (
    BatchSource,
    TokenDataset,
    encode_dataset,
    train_tokenizer_for_split,
)
from engine.data.moved_text import text_problem
from engine.data.ngrams import floors
from engine.data.tokenizers import Tokenizer, load_tokenizer
from engine.events import Preparing, Warned
from engine.parameter import SpecError
from engine.run_directory import RunDirectory, RunRecord
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.control import Control
from engine.training.recorder import Recorder

_REPORT_EVERY_S = 0.1


class CancelledError(Exception):
    """A person stopped the run before its first step."""


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


@dataclass(frozen=True)
class PreparedText:
    """A run's text as it is learned and measured; ``prompts`` are the corpus's own."""

    tokenizer: Tokenizer
    dataset: TokenDataset
    source: BatchSource
    prompts: tuple[str, ...]


def prepare_text(
    directory: RunDirectory,
    record: RunRecord,
    device: str,
    versions: Mapping[str, str],
    recorder: Recorder,
    announcer: Announcer,
) -> PreparedText:
    """Read the text and cut it to tokens; run.json is told ``device`` and ``versions``.

    Raises SpecError, CorpusError, TokenizerError or RunDirectoryError with a message that says
    what to do, and CancelledError when a person stops it.
    """
    spec, run = record.model, record.run
    corpus = _corpus(directory, record, device, versions, announcer)
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
    return PreparedText(tokenizer, dataset, source, corpus.prompts)


def _corpus(
    directory: RunDirectory,
    record: RunRecord,
    device: str,
    versions: Mapping[str, str],
    announcer: Announcer,
) -> Corpus:
    """The text, which must be the one that an earlier segment learned from."""
    announcer.say(f"reading the text {record.run.corpus[:80]}")
    corpus = load_corpus(record.run.corpus, progress=announcer.progress("reading the text"))
    if record.corpus_sha256 and record.corpus_sha256 != corpus.sha256:
        raise SpecError("corpus", _changed(record, versions))
    directory.write_record(
        replace(
            record,
            corpus_name=corpus.name,
            corpus_sha256=corpus.sha256,
            device=device,
            versions=versions,
        )
    )
    return corpus


def _changed(record: RunRecord, versions: Mapping[str, str]) -> str:
    """Why the text is another one."""
    name, before, now = record.run.corpus, record.versions.get("python"), versions.get("python")
    elsewhere = text_problem(name, before or "", now or "")
    if elsewhere is not None:
        return elsewhere.message
    return (
        f"{name} has changed since this run began: going on with another text would spoil it. Put "
        "the old text back, or start a new run"
    )


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


def floors_of(dataset: TokenDataset, source: BatchSource, run: RunSpec) -> dict[str, float]:
    """What tables of n-grams score on the very tokens of a validation, nats a token, by name."""
    targets = source.validation_batches(run.validation_tokens).target_positions()
    found = floors(dataset.train, dataset.validation, dataset.vocab_size, targets=targets)
    return found.named()
