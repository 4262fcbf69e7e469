"""What a run is where it goes on, and what is against that."""

from __future__ import annotations

import pytest

from engine.going_on import going_on, problems_of_going_on, steps_problem
from engine.presets import preset
from engine.run_spec import RunSpec

NANO = preset("nano-trickster")
ON_CARD = NANO.run.replace(device="n150:0", precision="bf16-mixed")


def test_what_is_not_named_stays_as_it_was() -> None:
    run = RunSpec(steps=300, device="cpu", precision="bf16-mixed", warmup_steps=30)
    assert going_on(run) == run
    moved = going_on(run, steps=900, device="n150:0", precision="bf16", card_backend="tt-train")
    assert moved == run.replace(
        steps=900, device="n150:0", precision="bf16", card_backend="tt-train"
    )


def test_a_warm_up_gives_way_to_a_shorter_run() -> None:
    assert going_on(RunSpec(steps=300, warmup_steps=100), steps=50).warmup_steps == 5


@pytest.mark.parametrize(
    ("done", "total", "fix"), [(None, 1, None), (9, 10, None), (10, 10, 20), (30, 10, 60)]
)
def test_a_run_that_has_done_its_steps_needs_more(
    done: int | None, total: int, fix: int | None
) -> None:
    problem = steps_problem(done, total)
    assert (None if problem is None else problem.fix["steps"]) == fix


def test_what_a_card_lacks_or_cannot_hold_is_told_of_cards_only() -> None:
    fp32 = ON_CARD.replace(precision="fp32")
    assert [problem.field for problem in problems_of_going_on(NANO.model, fp32, 5)] == ["precision"]
    assert problems_of_going_on(NANO.model, fp32.replace(device="cpu"), 5) == ()
    assert problems_of_going_on(NANO.model, ON_CARD, 5) == ()
    huge = ON_CARD.replace(batch_size=4_096)
    (too_large,) = problems_of_going_on(NANO.model, huge, 5)
    assert "one chip of which has" in too_large.message
    by_tt_train = huge.replace(card_backend="tt-train")
    assert problems_of_going_on(NANO.model, by_tt_train, 5) == (), "an estimate refuses nothing"


def test_steps_and_the_run_itself_come_first() -> None:
    run = ON_CARD.replace(precision="fp32", steps=5, warmup_steps=0)
    assert [problem.field for problem in problems_of_going_on(NANO.model, run, 5)] == ["steps"]
