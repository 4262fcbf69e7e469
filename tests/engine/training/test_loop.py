"""What happens between steps: full disks, samples, compilation, learning what there is to learn."""

from __future__ import annotations

import itertools
import math
import random
import resource
import shutil
from pathlib import Path

import pytest
import torch

from engine.events import Event, Failed, Finished, Sample, Saved, Started, Step, Validation, Warned
from engine.run_directory import RunDirectory
from engine.spec import ModelSpec
from engine.training.compilation import FIRST_EAGER_STEPS, compile_from
from engine.training.prompts import sample_seed
from tests.engine.training.tiny import RUN, events, new_run, train


def test_a_disk_that_fills_up_is_told_of_and_the_run_goes_on(tmp_path: Path) -> None:
    """Checkpoints fail at steps 7 to 14; the one of step 21 and the last are whole again."""
    directory = new_run(tmp_path, validate_every=0, sample_every=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def listener(event: Event) -> None:
        if isinstance(event, Step) and event.step in (5, 16):
            limit = 40_000 if event.step == 5 else soft
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    try:
        ended = train(directory, listener=listener)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(ended, Finished)
    assert ended.reason == "completed"
    warned = [w for w in events(directory, Warned) if "cannot write" in w.message]
    assert [w.step for w in warned] == [7, 14]
    assert all("free some disk space" in w.message for w in warned)
    assert [s.step for s in events(directory, Saved)] == [21, 28, 30]
    assert [s.step for s in events(directory, Step)] == list(range(1, 31))


def test_a_last_checkpoint_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    directory = new_run(tmp_path, validate_every=0, sample_every=0, save_every=20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def listener(event: Event) -> None:
        if isinstance(event, Step) and event.step == 25:
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))

    try:
        ended = train(directory, listener=listener)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(ended, Failed)
    assert "step-000030" in ended.message
    assert directory.checkpoint_steps() == [20]
    assert train(directory).reason == "completed"  # type: ignore[union-attr]
    assert directory.checkpoint_steps()[-1] == 30


def test_a_run_whose_folder_is_deleted_ends_at_its_next_checkpoint(tmp_path: Path) -> None:
    directory = new_run(tmp_path, validate_every=0, sample_every=0)

    def listener(event: Event) -> None:
        if isinstance(event, Step) and event.step == 9:
            shutil.rmtree(directory.path)

    ended = train(directory, listener=listener)
    assert isinstance(ended, Failed)
    assert ended.step == 14
    assert f"{directory.path} was deleted" in ended.message
    assert ended.advice
    assert not directory.path.exists()


def test_samples_are_the_prompts_asked_for_and_reproducible(tmp_path: Path) -> None:
    one = new_run(tmp_path, "one", prompts=("the ", "moon"), validate_every=0)
    other = new_run(tmp_path, "other", prompts=("the ", "moon"), validate_every=0, steps=20)
    train(one)
    train(other)
    texts = {(s.step, s.prompt): s.text for s in events(one, Sample)}
    assert set(texts) == {(step, p) for step in (0, 10, 20, 30) for p in ("the ", "moon")}
    assert all(s.tokens == RUN.sample_tokens for s in events(one, Sample))
    assert (
        texts[0, "the "] == {(s.step, s.prompt): s.text for s in events(other, Sample)}[0, "the "]
    )


def test_each_sample_has_a_seed_of_its_own() -> None:
    seeds = {sample_seed(s, step, p) for s in (1, 2) for step in (0, 1, 10) for p in ("", "a")}
    assert len(seeds) == 12
    assert all(0 <= seed < 1 << 63 for seed in seeds)


def test_sampling_and_validating_leave_no_trace_in_training(tmp_path: Path) -> None:
    quiet = new_run(tmp_path, "quiet", validate_every=0, sample_every=0)
    busy = new_run(tmp_path, "busy", validate_every=1, sample_every=2)
    train(quiet)
    train(busy)
    assert [s.loss for s in events(quiet, Step)] == [s.loss for s in events(busy, Step)]


def test_log_every_leaves_out_steps_but_counts_all_tokens(tmp_path: Path) -> None:
    directory = new_run(tmp_path, log_every=8, validate_every=0, sample_every=0)
    train(directory)
    assert [s.step for s in events(directory, Step)] == [1, 8, 16, 24, 30]
    assert [s.tokens for s in events(directory, Step)] == [128 * n for n in (1, 8, 16, 24, 30)]


@pytest.mark.parametrize(
    ("choice", "step_s", "expected"),
    [
        ("off", 10.0, None), ("on", None, FIRST_EAGER_STEPS), ("auto", None, None),
        ("auto", 0.01, None), ("auto", 100.0, FIRST_EAGER_STEPS),
    ],
)  # fmt: skip
def test_compiling_pays_only_for_long_runs(
    choice: str, step_s: float | None, expected: int | None
) -> None:
    assert compile_from(RUN.replace(compile=choice), "cpu", step_s) == expected


def test_without_a_compiler_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> object:
        def forward(*_: object) -> object:
            raise RuntimeError("No working C++ compiler found")

        return forward

    monkeypatch.setattr(torch, "compile", broken)
    directory = new_run(tmp_path, compile="on", validate_every=0, sample_every=0)
    eager = new_run(tmp_path, "eager", compile="off", validate_every=0, sample_every=0)
    assert train(directory).reason == "completed"  # type: ignore[union-attr]
    train(eager)
    assert any("No working C++ compiler" in w.message for w in events(directory, Warned))
    assert [s.loss for s in events(directory, Step)] == [s.loss for s in events(eager, Step)]


# A text whose entropy is known: two letters, each followed by the other with its own probability.

LEAVE_A, LEAVE_B = 0.1, 0.35


def two_state_text(length: int) -> str:
    chance, state, letters = random.Random(11), "a", []
    for _ in range(length):
        letters.append(state)
        leave = LEAVE_A if state == "a" else LEAVE_B
        if chance.random() < leave:
            state = "b" if state == "a" else "a"
    return "".join(letters)


def surprise(before: str, after: str) -> float:
    leave = LEAVE_A if before == "a" else LEAVE_B
    return -math.log(leave if before != after else 1 - leave)


def entropy_rate() -> float:
    share_a = LEAVE_B / (LEAVE_A + LEAVE_B)
    rates = [-(p * math.log(p) + (1 - p) * math.log(1 - p)) for p in (LEAVE_A, LEAVE_B)]
    return share_a * rates[0] + (1 - share_a) * rates[1]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("chain")
    (folder / "text.txt").write_text(two_state_text(60_000))
    spec = ModelSpec(
        hidden_dim=16, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=32, max_seq_len=32,
        vocab_size=2,
    )  # fmt: skip
    directory = new_run(
        folder, spec=spec, steps=250, batch_size=16, accumulation_steps=1, learning_rate=1e-2,
        warmup_steps=20, validate_every=50, validation_tokens=6_000, sample_every=0, save_every=0,
    )  # fmt: skip
    assert isinstance(train(directory), Finished)
    return directory


def test_learns_a_chain_to_its_entropy_and_never_below_what_is_possible(
    chain: RunDirectory,
) -> None:
    """The very text's mean surprise under the true chain is the least that can be reached."""
    text = two_state_text(60_000)
    measured = text[54_000:]
    surprises = [surprise(a, b) for a, b in itertools.pairwise(measured)]
    exact = sum(surprises) / len(surprises)
    losses = [v.loss for v in events(chain, Validation)]
    assert losses[0] == pytest.approx(math.log(2), abs=0.15)
    assert losses[-1] < entropy_rate() + 0.05
    assert min(losses) > exact - 0.005, "a model that knows less than the chain beat it"


def test_floors_of_a_chain_are_its_entropies(chain: RunDirectory) -> None:
    [started] = events(chain, Started)
    assert started.floors["uniform"] == pytest.approx(math.log(2))
    assert started.floors["2-gram"] == pytest.approx(entropy_rate(), abs=0.02)
    assert started.floors["1-gram"] > started.floors["2-gram"]
