"""One segment of a run on a card, from beginning to end, in this process.

This is the last line of defence: every error becomes a Failed event with advice, and its
traceback goes to the run's log.txt.
"""

from __future__ import annotations

from engine.backends.card.checkpoint import load_card_checkpoint
from engine.backends.card.device_errors import (
    is_from_card,
    is_out_of_card_memory,
    reason,
    way_on,
)
from engine.backends.card.initial_weights import initial_weights
from engine.backends.card.loop import CardParts, CardTrainer
from engine.backends.card.model import CardFactory, CardModel
from engine.backends.card.sampling import CardSampler
from engine.cost.parameters import count
from engine.data.errors import CorpusCancelledError
from engine.devices.card import card_name
from engine.events import Failed, Finished, Preparing, Started, Warned
from engine.run_directory import RunDirectory
from engine.run_spec import check_run
from engine.spec import check
from engine.training.base_versions import base_versions
from engine.training.control import Control
from engine.training.failures import CardError, described_failure, log_traceback
from engine.training.progress import Progress
from engine.training.recorder import Listener, Recorder
from engine.training.segments import Resumption
from engine.training.text_preparation import (
    Announcer,
    CancelledError,
    PreparedText,
    floors_of,
    prepare_text,
)


def run_card_session(
    directory: RunDirectory,
    resumption: Resumption,
    control: Control,
    factory: CardFactory,
    listener: Listener | None = None,
) -> Finished | Failed:
    """Prepare, train and record until the end; the caller holds the run's lock.

    ``factory`` opens the card. Always returns the event that ended the segment, which is also
    the last in the record; the card is given back whatever happens.
    """
    recorder = Recorder(directory, listener)
    try:
        end = _Segment(directory, resumption, control, recorder).run(factory)
        recorder(end, durable=True)
    finally:
        recorder.close()
    return end


class _Segment:
    def __init__(
        self,
        directory: RunDirectory,
        resumption: Resumption,
        control: Control,
        recorder: Recorder,
    ) -> None:
        self._directory, self._resumption = directory, resumption
        self._control, self._recorder = control, recorder
        self._model: CardModel | None = None
        self._trainer: CardTrainer | None = None

    def run(self, factory: CardFactory) -> Finished | Failed:
        try:
            try:
                return self._train(factory)
            finally:
                if self._model is not None:
                    self._model.close()
        except (CancelledError, CorpusCancelledError):
            return Finished(self._resumption.step or 0, "stopped")
        except Exception as error:  # the last line of defence
            log_traceback(self._directory)
            step = self._resumption.step or 0
            if self._trainer is not None:
                step = self._trainer.progress.step
            return self._failure(error, step)

    def _failure(self, error: Exception, step: int) -> Failed:
        """What happened in plain words, and what to do about it."""
        full = is_out_of_card_memory(error)
        if is_from_card(error) and not full:
            device = self._model.device if self._model is not None else "the card"
            steps = self._directory.checkpoint_steps()
            backend = self._directory.record().run.card_backend
            advice = way_on(device, backend) + (f" from step {steps[-1]:,}" if steps else "")
            error = CardError(f"{device} stopped computing: {reason(error)}", advice)
        return described_failure(error, step, self._directory, out_of_memory=full)

    def _train(self, factory: CardFactory) -> Finished:
        self._recorder(Preparing("starting"))
        record = self._directory.record()
        spec, run = check(record.model), check_run(record.run, record.model)
        announcer = Announcer(self._recorder, self._control)
        name = card_name(run.device) or run.device
        compiling = "the first time its programs are compiled, which may take minutes"
        announcer.say(f"opening {name}; {compiling}")
        model = self._model = factory(spec, run)
        for note in model.notes:
            self._recorder(Warned(note))
        versions = {**base_versions(), **model.versions}
        text = prepare_text(
            self._directory, record, model.device, versions, self._recorder, announcer
        )
        announcer.say("building the model")
        progress = self._restore(model)
        announcer.say("counting n-grams for the floors")
        started = self._started(model, text, progress)
        self._recorder(started, durable=True)
        sampler = CardSampler(model, text.tokenizer, spec, run, text.prompts)
        parts = CardParts(self._directory, spec, run, text.source, sampler, versions, model)
        self._trainer = CardTrainer(parts, self._recorder, self._control, progress)
        return self._trainer.run()

    def _restore(self, model: CardModel) -> Progress:
        """Weights, optimizer and progress of the checkpoint to go on from, or new ones."""
        record = self._directory.record()
        spec, run, at = record.model, record.run, self._resumption.step
        if at is None:
            model.load(initial_weights(spec, run.seed), {}, 0)
            return Progress(segment=self._resumption.segment)
        folder = self._directory.checkpoint_path(at)
        progress = load_card_checkpoint(folder, model, spec)
        patience_over = run.patience and progress.validations_since_best >= run.patience
        return progress.replace(
            segment=self._resumption.segment,
            validations_since_best=0 if patience_over else progress.validations_since_best,
        )

    def _started(self, model: CardModel, text: PreparedText, progress: Progress) -> Started:
        record = self._directory.record()
        spec, run = record.model, record.run
        return Started(
            step=progress.step,
            total_steps=run.steps,
            segment=progress.segment,
            params=count(spec).total,
            device=model.device,
            precision=model.precision,
            tokens_per_step=run.tokens_per_step(spec),
            train_tokens=len(text.dataset.train),
            validation_tokens=len(text.dataset.validation),
            vocab_size=text.dataset.vocab_size,
            floors=floors_of(text.dataset, text.source, run),
            predicted=dict(model.predicted),
        )
