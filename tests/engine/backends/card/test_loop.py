"""The loop of cards over a model of numpy: what it records, and that it obeys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.backends.card.loop import step_seed
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
from engine.run_directory import Command, RunDirectory
from engine.training import checkpoint_folder
from tests.engine.backends.card.numpy_model import NumpyModel, arrays_of, train_card
from tests.engine.training.tiny import SPEC, events, new_run, train

UNTIED = SPEC.replace(tied_embeddings=False)


@pytest.fixture(autouse=True)
def _every_card_is_given_back() -> Iterator[None]:
    NumpyModel.opened.clear()
    yield
    assert all(model.closed for model in NumpyModel.opened)


def card_run(folder: Path, name: str = "run", **changes: Any) -> RunDirectory:
    return new_run(folder, name, UNTIED, **{"device": "n150", "learning_rate": 0.1, **changes})


def at_step(directory: RunDirectory, step: int, command: Command) -> Callable[[Event], None]:
    def listener(event: Event) -> None:
        if isinstance(event, Step) and event.step == step:
            directory.send(command)

    return listener


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run that was never interrupted."""
    directory = card_run(tmp_path_factory.mktemp("whole"))
    assert train_card(directory).reason == "completed"
    return directory


def recorded(directory: RunDirectory) -> list[tuple[str, int, tuple[str, ...]]]:
    """Kind, step and fields of every event but the stages of the preparation."""
    lines = directory.events_file.read_text(encoding="utf-8").splitlines()
    values = [json.loads(line) for line in lines]
    return [
        (found["event"], found.get("step", 0), tuple(found))
        for found in values
        if found["event"] not in ("preparing", "warning")
    ]


def test_it_records_what_torchs_loop_records_for_the_same_recipe(tmp_path: Path) -> None:
    """Same kinds of events at the same steps, with the same fields."""
    settings = {"keep_best": 0, "prompts": ("the sun", "moon")}
    on_torch = new_run(tmp_path, "torch", UNTIED, **settings)
    on_card = new_run(tmp_path, "card", UNTIED, device="n150", **settings)
    assert train(on_torch).reason == "completed"
    assert train_card(on_card).reason == "completed"
    assert recorded(on_card) == recorded(on_torch)
    steps = zip(events(on_card, Step), events(on_torch, Step), strict=True)
    for card, torch in steps:
        assert (card.step, card.tokens, card.lr) == (torch.step, torch.tokens, torch.lr)
    measured = [{v.measured_tokens for v in events(run, Validation)} for run in (on_card, on_torch)]
    assert measured[0] == measured[1]
    [card], [torch] = events(on_card, Started), events(on_torch, Started)
    for field in ("params", "tokens_per_step", "train_tokens", "validation_tokens", "vocab_size",
                  "floors", "total_steps", "segment"):  # fmt: skip
        assert getattr(card, field) == getattr(torch, field)
    assert (card.device, card.precision) == ("n150:0", "bf16-mixed")
    prompts = [[(s.step, s.prompt, s.tokens) for s in events(r, Sample)]
               for r in (on_card, on_torch)]  # fmt: skip
    assert prompts[0] == prompts[1]


def test_it_learns_and_says_so(whole: RunDirectory) -> None:
    losses = [v.loss for v in events(whole, Validation)]
    assert losses[0] > 3.3
    assert losses[-1] < losses[0] - 0.8
    assert [s.step for s in events(whole, Step)] == list(range(1, 31))
    warnings = [w.message for w in events(whole, Warned)]
    assert warnings[0] == "this is a double"
    assert "tokenizer has" in warnings[1]
    assert events(whole, Preparing)
    [end] = events(whole, Finished)
    assert end.measured["step_s"] > 0
    assert end.best_step == min(events(whole, Validation), key=lambda v: v.loss).step
    assert whole.state() == "finished"
    assert whole.record().versions["double"] == "1"
    assert whole.record().device == "n150:0"


def test_it_keeps_the_newest_and_the_best(whole: RunDirectory) -> None:
    ranked = sorted(events(whole, Validation), key=lambda event: event.loss)
    measured = [v.step for v in ranked if v.step]
    assert set(whole.checkpoint_steps()) == {30, *measured[:2]}


@pytest.mark.parametrize("stop_at", [13, 20])
def test_resumed_is_bit_for_bit_the_run_never_interrupted(
    whole: RunDirectory, tmp_path: Path, stop_at: int
) -> None:
    directory = card_run(tmp_path)
    stopped = train_card(directory, listener=at_step(directory, stop_at, "stop"))
    assert (stopped.step, stopped.reason) == (stop_at, "stopped")
    directory.commands_file.unlink()
    assert train_card(directory).reason == "completed"
    assert arrays_of(directory, 30) == arrays_of(whole, 30)
    texts = {(s.step, s.prompt): s.text for s in events(directory, Sample)}
    assert texts == {(s.step, s.prompt): s.text for s in events(whole, Sample)}
    starts = [(s.step, s.segment) for s in events(directory, Started)]
    assert starts == [(0, 1), (stop_at, 2)]


def test_pause_saves_waits_and_goes_on_as_if_nothing_had_been(
    whole: RunDirectory, tmp_path: Path
) -> None:
    directory = card_run(tmp_path)

    def listener(event: Event) -> None:
        if isinstance(event, Step) and event.step == 12:
            directory.send("pause")
        if isinstance(event, Paused):
            assert 12 in directory.checkpoint_steps()
            assert directory.state() == "paused"
            directory.send("sample", "the sun")
            directory.send("validate")
            directory.send("resume")

    assert train_card(directory, listener=listener).reason == "completed"
    assert [p.step for p in events(directory, Paused)] == [12]
    assert [r.step for r in events(directory, Resumed)] == [12]
    assert [s.prompt for s in events(directory, Sample) if s.requested] == ["the sun"]
    assert 12 in [v.step for v in events(directory, Validation)]
    assert arrays_of(directory, 30) == arrays_of(whole, 30)


def test_a_stop_ends_a_pause(tmp_path: Path) -> None:
    directory = card_run(tmp_path)

    def listener(event: Event) -> None:
        if isinstance(event, Step) and event.step == 3:
            directory.send("pause")
        if isinstance(event, Paused):
            directory.send("stop")

    end = train_card(directory, listener=listener)
    assert (end.step, end.reason) == (3, "stopped")
    assert directory.checkpoint_steps() == [3]


def test_save_and_strange_requests(tmp_path: Path) -> None:
    directory = card_run(tmp_path, steps=6, save_every=0, validate_every=0, keep_best=9)

    def listener(event: Event) -> None:
        if isinstance(event, Step) and event.step == 2:
            directory.send("save")
            directory.send("dance")  # type: ignore[arg-type]

    train_card(directory, listener=listener)
    assert [s.step for s in events(directory, Saved)] == [2, 6]
    assert "unknown request 'dance'" in [w.message for w in events(directory, Warned)]


def test_patience_ends_a_run(tmp_path: Path) -> None:
    class Forgetful(NumpyModel):
        def validate(self, *_: object) -> float:
            return 3.0 + self.steps

    directory = card_run(tmp_path, validate_every=2, patience=3)
    end = train_card(directory, Forgetful)
    assert isinstance(end, Finished)
    assert (end.step, end.reason, end.best_step) == (6, "early-stopping", 0)
    assert [v.best for v in events(directory, Validation)] == [True, False, False, False]


def test_a_loss_that_is_no_number_ends_the_run_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NumpyModel, "broken", 9)
    directory = card_run(tmp_path)
    end = train_card(directory)
    assert isinstance(end, Failed)
    assert (end.message, end.step) == ("the loss became nan at step 9", 9)
    assert end.advice.startswith("The checkpoint of step 7 is good.")
    assert "DivergedError" in directory.log_file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("error", "said", "advice"),
    [
        (
            RuntimeError("TT_FATAL: Out of Memory: Not enough space to allocate 9 B DRAM buffer"),
            "out of memory", "Halve the batch size",
        ),
        (RuntimeError("the device hangs"), "RuntimeError: the device hangs", "resumed"),
        (
            RuntimeError("TT_THROW @ /x.cpp:9: no\ninfo:\nTimeout: it hangs\nbacktrace:\n --- y"),
            "n150:0 stopped computing: Timeout: it hangs", "go on with --device auto from step 7",
        ),
    ],
)  # fmt: skip
def test_what_the_card_raises_is_told_and_the_card_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str, advice: str
) -> None:
    monkeypatch.setattr(NumpyModel, "fault", (8, error))
    end = train_card(card_run(tmp_path))
    assert isinstance(end, Failed)
    assert end.message == said
    assert advice in end.advice
    assert end.step == 8


def test_a_card_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    def refusing(*_: object) -> NumpyModel:
        raise RuntimeError("no such device")

    end = train_card(card_run(tmp_path), refusing)
    assert isinstance(end, Failed)
    assert "no such device" in end.message


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = checkpoint_folder.write_json

    def full(path: Path, values: Any) -> None:
        if values.get("step") == 7:
            raise OSError(28, "No space left on device")
        written(path, values)

    monkeypatch.setattr(checkpoint_folder, "write_json", full)
    directory = card_run(tmp_path)
    assert train_card(directory).reason == "completed"
    [warned] = [w for w in events(directory, Warned) if "No space left" in w.message]
    assert warned.step == 7
    assert "The run goes on" in warned.message
    assert 7 not in [s.step for s in events(directory, Saved)]


def test_a_stop_before_the_first_step_ends_quietly(tmp_path: Path) -> None:
    directory = card_run(tmp_path)
    directory.send("stop")
    assert train_card(directory) == Finished(0, "stopped")


def test_what_is_random_follows_from_seed_and_step() -> None:
    seeds = {step_seed(seed, step) for seed in range(20) for step in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 1 << 31 for seed in seeds)
    assert step_seed(3, 4) == step_seed(3, 4)
