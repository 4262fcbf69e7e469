"""The time of a whole run: what it does is counted as training does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.__main__ import main
from engine.cost.duration import run_time, validations, with_records
from engine.cost.time import Estimate, measured_step
from engine.events import Sample, Validation
from engine.run_directory import RunDirectory
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.computers import computer

SPEC = ModelSpec(
    vocab_size=256, hidden_dim=64, num_layers=2, num_heads=2, mlp_dim=128, max_seq_len=32
)
STEP = Estimate(0.1, 0.09, 0.12)


def run(**changes: object) -> RunSpec:
    base = RunSpec(batch_size=4, steps=100, warmup_steps=0, validation_tokens=1_280)
    return base.replace(**changes)  # type: ignore[arg-type]


def test_a_run_without_records_still_validates_once_and_writes_twice() -> None:
    """1,280 tokens are ten updates' worth, read for 0.28 of the price; six texts of 50 tokens."""
    settings = run(validate_every=0, sample_every=0, sample_tokens=50)
    found = with_records(SPEC, settings, STEP, 0.001)
    assert found.seconds == pytest.approx(100 * 0.1 + 0.28 * 10 * 0.1 + 6 * 50 * 0.001)
    assert found.low < found.seconds < found.high


def test_samples_that_would_take_too_long_are_cut_short() -> None:
    """As training does: a tenth of the time since the last ones, or two seconds."""
    settings = run(validate_every=0, sample_every=50, sample_tokens=10_000)
    base = with_records(SPEC, settings, STEP, 0.0).seconds
    assert with_records(SPEC, settings, STEP, 1.0).seconds == pytest.approx(base + 3 * 2.0)
    slow = Estimate(1.0, 0.9, 1.2)
    base = with_records(SPEC, settings, slow, 0.0).seconds
    assert with_records(SPEC, settings, slow, 1.0).seconds == pytest.approx(base + 3 * 5.0)


def test_prompts_of_ones_own_are_written_each_time() -> None:
    settings = run(validate_every=0, sample_every=50, sample_tokens=10, prompts=("a", "b"))
    base = with_records(SPEC, settings, STEP, 0.0).seconds
    assert with_records(SPEC, settings, STEP, 0.01).seconds == pytest.approx(base + 3 * 2 * 0.1)


def test_a_card_is_not_asked_for_one_token() -> None:
    found = run_time(SPEC, run(), STEP, None)
    assert found.seconds == with_records(SPEC, run(), STEP, 0.0).seconds


def test_on_a_measured_computer_samples_take_time() -> None:
    slow = computer(SPEC, run(), 0.1)
    step = measured_step(SPEC, run(), slow)
    assert step is not None
    found = run_time(SPEC, run(), step, slow)
    assert found.seconds > with_records(SPEC, run(), step, 0.0).seconds


@pytest.mark.parametrize(
    ("steps", "validate_every", "sample_every"), [(6, 2, 3), (7, 2, 3), (5, 0, 0), (4, 10, 10)]
)
def test_the_records_are_those_that_training_makes(
    tmp_path: Path, steps: int, validate_every: int, sample_every: int
) -> None:
    """Counted from the record of a real run of a tiny design; the text has three beginnings."""
    place = tmp_path / "run"
    command = [
        "train", "first-minute", "--corpus", "python-stdlib", "--run", str(place),
        "--steps", str(steps),
    ]  # fmt: skip
    sets = {
        "model.hidden_dim": 16, "model.num_heads": 2, "model.num_layers": 1, "model.mlp_dim": 16,
        "model.max_seq_len": 16, "warmup_steps": 0,
        "validate_every": validate_every, "sample_every": sample_every, "sample_tokens": 4,
        "validation_tokens": 160,
    }  # fmt: skip
    for name, value in sets.items():
        command += ["--set", f"{name}={value}"]
    assert main(command) == 0
    events = list(RunDirectory(place).events())
    settings = RunSpec(steps=steps, validate_every=validate_every, sample_every=sample_every)
    assert sum(isinstance(event, Validation) for event in events) == validations(settings)
    texts = sum(isinstance(event, Sample) for event in events)
    base = with_records(SPEC, settings, STEP, 0.0).seconds
    per_text = settings.sample_tokens * 1e-6
    counted = (with_records(SPEC, settings, STEP, 1e-6).seconds - base) / per_text
    assert counted == pytest.approx(texts)
