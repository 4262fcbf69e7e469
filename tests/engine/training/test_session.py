"""A run from beginning to end, interrupted, resumed, failing: all in this process."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.cost.calibration import load_calibration, save
from engine.events import (
    Event,
    Failed,
    Finished,
    Paused,
    Preparing,
    Resumed,
    Sample,
    Saved,
    Started,
    Step,
    Validation,
    Warned,
)
from engine.parameter import SpecError
from engine.run_directory import Command, RunDirectory, RunDirectoryError
from engine.training import calibrate
from engine.training.failures import DivergedError
from engine.training.progress import CheckpointError
from engine.training.session import failure
from tests.computers import computer
from tests.engine.training.tiny import (
    RUN,
    SPEC,
    assert_same_bits,
    checkpoint_tensors,
    events,
    new_run,
    train,
    write_text,
)


def at_step(directory: RunDirectory, step: int, command: Command) -> Callable[[Event], None]:
    """A listener that sends a command when the given step is logged."""

    def listener(event: Event) -> None:
        if isinstance(event, Step) and event.step == step:
            directory.send(command)

    return listener


def learning_curve(directory: RunDirectory) -> dict[int, tuple[float, float, float]]:
    return {s.step: (s.loss, s.lr, s.grad_norm) for s in events(directory, Step)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run that was never interrupted."""
    directory = new_run(tmp_path_factory.mktemp("whole"))
    end = train(directory)
    assert isinstance(end, Finished)
    assert replace(end, measured={}) == Finished(30, "completed", *best(directory))
    return directory


def best(directory: RunDirectory) -> tuple[float, int]:
    found = min(events(directory, Validation), key=lambda event: event.loss)
    return found.loss, found.step


def test_the_end_says_what_was_measured(whole: RunDirectory, tmp_path: Path) -> None:
    """The peak as the last step has it, and the usual time of steps after the first two."""
    (finished,) = events(whole, Finished)
    steps = events(whole, Step)
    assert finished.measured["peak_bytes"] == steps[-1].memory_bytes
    predicted = events(whole, Started)[0].predicted["peak_bytes"]
    assert finished.measured["peak_bytes"] == pytest.approx(predicted, rel=0.002)
    assert finished.measured["step_s"] == statistics.median(s.step_s for s in steps[2:])
    short = train(new_run(tmp_path, steps=5, warmup_steps=0))
    assert isinstance(short, Finished)
    assert short.measured.keys() == {"peak_bytes", "step_s"}
    shorter = train(new_run(tmp_path, "shorter", steps=4, warmup_steps=0))
    assert isinstance(shorter, Finished)
    assert shorter.measured.keys() == {"peak_bytes"}


def test_a_run_teaches_the_calibration_and_the_next_is_foretold_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "_UNDISTURBED", 1.0)  # whatever else runs beside the tests
    first, second = new_run(tmp_path), new_run(tmp_path, "second")
    train(first)
    (finished,) = events(first, Finished)
    taught = load_calibration()
    assert taught is not None
    assert [run.step.seconds for run in taught.runs] == [finished.measured["step_s"]]
    here = computer(SPEC, RUN, finished.measured["step_s"], threads=1)
    save(replace(taught, speeds=here.speeds))
    train(second)
    (started,) = events(second, Started)
    assert started.predicted["step_s"] == finished.measured["step_s"]
    ends = started.predicted["step_s_low"], started.predicted["step_s_high"]
    assert ends[0] < finished.measured["step_s"] < ends[1]


def test_a_short_run_teaches_nothing(tmp_path: Path) -> None:
    train(new_run(tmp_path, steps=15))
    assert load_calibration() is None


def test_records_everything(whole: RunDirectory) -> None:
    assert [s.step for s in events(whole, Step)] == list(range(1, 31))
    assert [s.tokens for s in events(whole, Step)] == [128 * n for n in range(1, 31)]
    assert all(s.memory_bytes and s.tokens_per_s > 0 for s in events(whole, Step))
    assert [v.step for v in events(whole, Validation)] == [0, 10, 20, 30]
    assert {s.step for s in events(whole, Sample)} == {0, 10, 20, 30}
    assert {s.step for s in events(whole, Saved)} >= {7, 14, 21, 28, 30}
    [started] = events(whole, Started)
    assert (started.step, started.segment, started.total_steps) == (0, 1, 30)
    assert set(started.floors) == {"uniform", "1-gram", "2-gram", "3-gram"}
    assert started.predicted["peak_bytes"] > 0
    assert any("tokenizer has" in w.message for w in events(whole, Warned))
    assert events(whole, Preparing)
    assert whole.state() == "finished"


def test_learns(whole: RunDirectory) -> None:
    losses = [v.loss for v in events(whole, Validation)]
    assert losses[-1] < losses[0] - 0.5


def test_keeps_the_newest_and_the_best(whole: RunDirectory) -> None:
    ranked = sorted(events(whole, Validation), key=lambda event: event.loss)
    measured = [v.step for v in ranked if v.step]
    assert set(whole.checkpoint_steps()) == {30, *measured[:2]}


def test_says_what_it_was_made_with(whole: RunDirectory) -> None:
    record = whole.record()
    assert record.versions["torch"]
    assert len(record.corpus_sha256) == 64
    assert record.device == "cpu"


@pytest.mark.parametrize("stop_at", [13, 20])
def test_resumed_is_bit_for_bit_the_run_never_interrupted(
    whole: RunDirectory, tmp_path: Path, stop_at: int
) -> None:
    """With dropout, accumulation and AdamW; step 20 is one with validation and samples."""
    directory = new_run(tmp_path)
    stopped = train(directory, listener=at_step(directory, stop_at, "stop"))
    assert (stopped.step, stopped.reason) == (stop_at, "stopped")
    directory.commands_file.unlink()
    assert train(directory).reason == "completed"
    assert_same_bits(checkpoint_tensors(directory, 30), checkpoint_tensors(whole, 30))
    assert learning_curve(directory) == learning_curve(whole)
    assert [v.loss for v in events(directory, Validation)] == [
        v.loss for v in events(whole, Validation)
    ]
    texts = {(s.step, s.prompt): s.text for s in events(directory, Sample)}
    assert texts == {(s.step, s.prompt): s.text for s in events(whole, Sample)}
    assert [(s.step, s.segment) for s in events(directory, Started)] == [(0, 1), (stop_at, 2)]


@pytest.mark.parametrize("optimizer", ["adafactor", "adamw-8bit"])
def test_so_is_one_with_compressed_state(tmp_path: Path, optimizer: str) -> None:
    spec = SPEC.replace(hidden_dim=66, num_heads=3, num_kv_heads=3, mlp_dim=65)
    settings = {"optimizer": optimizer, "steps": 12, "sample_every": 0}
    whole = new_run(tmp_path, "whole", spec, **settings)
    assert train(whole).reason == "completed"
    halves = new_run(tmp_path, "halves", spec, **settings)
    assert train(halves, listener=at_step(halves, 5, "stop")).step == 5
    halves.commands_file.unlink()
    assert train(halves).reason == "completed"
    assert_same_bits(checkpoint_tensors(halves, 12), checkpoint_tensors(whole, 12))
    assert learning_curve(halves) == learning_curve(whole)


def test_a_run_with_its_loss_in_chunks_learns_the_same(whole: RunDirectory, tmp_path: Path) -> None:
    directory = new_run(tmp_path, loss_chunk=5)
    assert train(directory).reason == "completed"
    for ours, theirs in zip(events(directory, Validation), events(whole, Validation), strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-3)
    predicted = events(directory, Started)[0].predicted["peak_bytes"]
    assert predicted < events(whole, Started)[0].predicted["peak_bytes"]
    assert events(directory, Step)[-1].memory_bytes < events(whole, Step)[-1].memory_bytes


def test_pause_saves_waits_and_goes_on_as_if_nothing_had_been(
    whole: RunDirectory, tmp_path: Path
) -> None:
    directory = new_run(tmp_path)

    def listener(event: Event) -> None:
        if isinstance(event, Step) and event.step == 12:
            directory.send("pause")
        if isinstance(event, Paused):
            assert 12 in directory.checkpoint_steps()
            assert directory.state() == "paused"
            directory.send("sample", "the sun")
            directory.send("validate")
            directory.send("resume")

    assert train(directory, listener=listener).reason == "completed"
    assert [p.step for p in events(directory, Paused)] == [12]
    assert [r.step for r in events(directory, Resumed)] == [12]
    assert [s.prompt for s in events(directory, Sample) if s.requested] == ["the sun"]
    assert 12 in [v.step for v in events(directory, Validation)]
    assert_same_bits(checkpoint_tensors(directory, 30), checkpoint_tensors(whole, 30))


def test_a_pause_before_the_first_step_can_be_resumed(whole: RunDirectory, tmp_path: Path) -> None:
    directory = new_run(tmp_path)
    directory.send("pause")

    def listener(event: Event) -> None:
        if isinstance(event, Paused):
            directory.send("stop")

    end = train(directory, listener=listener)
    assert end == Finished(0, "stopped", *best_of_start(directory)), "nothing was measured"
    assert directory.checkpoint_steps() == [0]
    directory.commands_file.unlink()
    train(directory)
    assert_same_bits(checkpoint_tensors(directory, 30), checkpoint_tensors(whole, 30))


def best_of_start(directory: RunDirectory) -> tuple[float, int]:
    return events(directory, Validation)[0].loss, 0


def test_rewind_goes_on_from_an_earlier_checkpoint_and_keeps_the_old_record(
    whole: RunDirectory, tmp_path: Path
) -> None:
    directory = new_run(tmp_path, keep_best=9)
    train(directory)
    train(directory, resume_step=10)
    starts = [(s.step, s.segment) for s in events(directory, Started)]
    assert starts == [(0, 1), (10, 2)]
    assert len(events(directory, Step)) == 30 + 20
    assert_same_bits(checkpoint_tensors(directory, 30), checkpoint_tensors(whole, 30))


def test_a_rewound_run_that_dies_early_is_resumed_from_where_it_was_rewound_to(
    tmp_path: Path,
) -> None:
    directory = new_run(tmp_path, keep_best=9, save_every=0)
    train(directory)
    train(directory, resume_step=10, listener=at_step(directory, 13, "stop"))
    directory.commands_file.unlink()
    directory.remove_checkpoint(13)  # as if the worker had been killed before it could save
    train(directory)
    assert [s.step for s in events(directory, Started)] == [0, 10, 10]


def test_resume_extends(tmp_path: Path) -> None:
    directory = new_run(tmp_path)
    train(directory)
    with pytest.raises(SpecError, match="30 steps are done already: ask for more than 30"):
        train(directory)
    assert train(directory, steps=36).step == 36
    assert directory.record().run.steps == 36
    assert [s.step for s in events(directory, Step)] == list(range(1, 37))


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    directory = new_run(tmp_path)
    train(directory, listener=at_step(directory, 8, "stop"))
    with pytest.raises(RunDirectoryError, match=r"no checkpoint of step 5 \(there are: 8\)"):
        train(directory, resume_step=5)


def test_a_changed_text_is_not_silently_learned_from(tmp_path: Path) -> None:
    directory = new_run(tmp_path)
    train(directory, listener=at_step(directory, 8, "stop"))
    directory.commands_file.unlink()
    write_text(tmp_path, 7_000)
    failed = train(directory)
    assert isinstance(failed, Failed)
    assert "has changed since this run began" in failed.message


def test_the_text_of_another_python_is_named_as_such(tmp_path: Path) -> None:
    """A card's worker runs under a Python of its own, whose standard library is another text."""
    directory = new_run(tmp_path, corpus="python-stdlib", spec=SPEC.replace(vocab_size=128))
    train(directory, listener=at_step(directory, 8, "stop"))
    directory.commands_file.unlink()
    began = {**directory.record().versions, "python": "3.12.1000"}
    directory.write_record(replace(directory.record(), corpus_sha256="0" * 64, versions=began))
    failed = train(directory)
    assert isinstance(failed, Failed)
    assert "this run began with that of 3.12.1000, and this is 3." in failed.message


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_good_checkpoint(
    tmp_path: Path,
) -> None:
    directory = new_run(
        tmp_path, optimizer="sgd", learning_rate=10.0, grad_clip=0.0, warmup_steps=25, save_every=2
    )
    failed = train(directory)
    assert isinstance(failed, Failed)
    assert f"at step {failed.step}" in failed.message
    assert "Lower the learning rate" in failed.advice
    [last] = directory.checkpoint_steps()[-1:]
    assert last < failed.step
    assert f"checkpoint of step {last}" in failed.advice
    assert directory.state() == "failed"


def test_patience_ends_the_run(tmp_path: Path) -> None:
    directory = new_run(tmp_path, optimizer="sgd", learning_rate=1e-8, validate_every=2, patience=3)
    finished = train(directory)
    assert finished.reason == "early-stopping"
    assert [v.best for v in events(directory, Validation)][-3:] == [False] * 3


def test_a_text_that_is_too_short_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("only a few words of a text", encoding="utf-8")
    failed = train(new_run(tmp_path))
    assert isinstance(failed, Failed)
    assert "too short" in failed.message or "sequences of 16 tokens need" in failed.message


def test_a_text_that_is_missing_says_so(tmp_path: Path) -> None:
    directory = new_run(tmp_path, corpus="nowhere.txt")
    failed = train(directory)
    assert isinstance(failed, Failed)
    assert "nowhere.txt" in failed.message
    assert "Traceback" in directory.log_file.read_text()


def test_a_card_is_refused_honestly(tmp_path: Path) -> None:
    failed = train(new_run(tmp_path, device="n150:0"))
    assert isinstance(failed, Failed)
    assert failed.message.startswith(
        "device: n150:0 is a Tenstorrent card: torch does not train on"
    )


def test_fused_attention_is_refused_where_auto_turns_out_to_have_none(tmp_path: Path) -> None:
    directory = new_run(tmp_path, attention="fused", device="auto")
    record = directory.record()
    directory.write_record(replace(record, model=record.model.replace(dropout=0.1)))
    failed = train(directory)
    assert isinstance(failed, Failed)
    assert "no fused attention with dropout" in failed.message


def test_bf16_keeps_fp32_masters_so_that_norms_learn(tmp_path: Path) -> None:
    """At this rate an update is a tenth of what bf16 can tell apart next to 1."""
    directory = new_run(tmp_path, precision="bf16", learning_rate=4e-4, schedule="constant")
    ended = train(directory)
    if isinstance(ended, Failed):
        assert "no bf16 arithmetic" in ended.message
        pytest.skip("this processor has no bf16")
    scales = checkpoint_tensors(directory, 30)["model.norm.weight"]
    assert scales.dtype == torch.float32
    assert bool((scales != 1).all())
    assert bool((scales != scales.bfloat16().float()).any())


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    directory = new_run(tmp_path)
    train(directory, listener=at_step(directory, 8, "stop"))
    directory.commands_file.unlink()
    state = directory.checkpoint_path(8) / "state.json"
    values = json.loads(state.read_text())
    values["random_states"] = {"cpu": "AAAA"}
    state.write_text(json.dumps(values))
    failed = train(directory)
    assert isinstance(failed, Failed)
    assert "not a random state" in failed.message


@pytest.mark.parametrize(
    "error", [RuntimeError("a fault"), OSError(28, "No space left"), CheckpointError("damaged")]
)
def test_advice_speaks_of_checkpoints_only_where_there_are_some(
    tmp_path: Path, error: Exception
) -> None:
    directory = new_run(tmp_path)
    advice = failure(error, 0, directory).advice
    assert "start the run again" in advice.lower()
    assert not any(word in advice for word in ("resume", "go back", "last checkpoint"))
    train(directory, listener=at_step(directory, 8, "stop"))
    advice = failure(error, 9, directory).advice
    assert any(word in advice for word in ("resume", "go back"))


def test_a_damaged_only_checkpoint_is_no_way_back(tmp_path: Path) -> None:
    directory = new_run(tmp_path)
    train(directory, listener=at_step(directory, 8, "stop"))
    assert "go back" not in failure(CheckpointError("damaged"), 8, directory).advice


def test_a_later_checkpoint_of_another_branch_is_not_called_good(tmp_path: Path) -> None:
    directory = new_run(tmp_path)
    train(directory, listener=at_step(directory, 8, "stop"))
    assert "step 8" not in failure(DivergedError(5, float("nan"), 1.0), 4, directory).advice
    assert "step 8" in failure(DivergedError(9, float("nan"), 1.0), 8, directory).advice


def test_stop_while_preparing_ends_at_once(tmp_path: Path) -> None:
    directory = new_run(tmp_path)
    directory.send("stop")
    assert train(directory) == Finished(0, "stopped")
    assert not events(directory, Started)
