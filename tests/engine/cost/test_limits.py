"""Shortcuts to the largest batch change no answer."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from benchmarks.memory_formula import random_design, random_run
from engine.cost import limits
from engine.cost.chips import as_used
from engine.cost.memory import peak_of_batch
from engine.devices.card import load_cards
from engine.presets import preset
from engine.run_spec import RunSpec


def test_what_cannot_hold_its_weights_is_told_without_following_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(5)
    cards, told = load_cards(), set()
    for _ in range(40):
        spec = random_design(rng)
        run = random_run(rng, spec)
        for megabytes in (1, 10, 100, 1_000):
            card = replace(rng.choice(cards), chip_memory_bytes=megabytes * 10**6, overhead_bytes=0)
            quick = limits.largest_batch(spec, run, card)
            with monkeypatch.context() as patched:
                patched.setattr(limits, "_least_bytes", lambda _: 0)
                assert limits.largest_batch(spec, run, card) == quick
            told.add(quick > 0)
    assert told == {True, False}


def test_the_largest_batch_by_tt_train_fits_and_no_larger_one() -> None:
    spec = preset("nano-trickster").model
    run = RunSpec(card_backend="tt-train", precision="bf16-mixed", device="n150")
    card = next(card for card in load_cards() if card.name == "n150")
    largest = limits.largest_batch(spec, run, card)
    room = limits.room_bytes(as_used(card, run))
    assert room is not None
    assert 1 < largest < 10_000
    assert peak_of_batch(spec, run, largest) <= room < peak_of_batch(spec, run, largest + 1)
