from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cost.evaluation import evaluate
from engine.cost.fit import TIGHT_FRACTION, fit
from engine.cost.limits import (
    chip_batch,
    largest_batch,
    largest_context,
    room_bytes,
    worst_bytes,
)
from engine.cost.memory import memory_of_batch, training_memory
from engine.cost.parameters import count
from engine.cost.sharding import sharded_bytes
from engine.devices.card import Device, load_cards
from engine.presets import preset
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs, run_specs

NANO, RUN = ModelSpec(), RunSpec(batch_size=16)
CARDS = {card.name: card for card in load_cards()}


def a_card(memory: int | None, chips: int = 1) -> Device:
    whole = None if memory is None else memory * chips
    return Device("toy", "Toy", "card", chips, whole, memory)


def test_nano_trickster_fits_every_card() -> None:
    assert {fit(NANO, RUN, card).verdict for card in CARDS.values()} == {"fits"}


def test_tinyllama_does_not_fit_an_n150_even_without_activations() -> None:
    verdict = fit(preset("tinyllama-1.1b").model, RunSpec(batch_size=8, seq_len=512), CARDS["n150"])
    assert verdict.verdict == "does not fit"
    assert verdict.margin_bytes is not None
    assert verdict.margin_bytes < 0
    assert "only plain SGD or a smaller model helps" in verdict.reason
    gpu = replace(CARDS["n150"], name="cuda:0", kind="cuda")
    reason = fit(preset("tinyllama-1.1b").model, RunSpec(batch_size=8, seq_len=512), gpu).reason
    assert "With gradient checkpointing, loss in chunks of 128 tokens, bf16" in reason
    assert "and Adafactor a batch of" in reason


def test_the_lessons_bad_design_fits_no_card() -> None:
    design = preset("bad-design-too-big")
    reason = fit(design.model, design.run, CARDS["n150"]).reason
    assert "at least: only a smaller model helps" in reason
    assert {fit(design.model, design.run, card).verdict for card in CARDS.values()} == {
        "does not fit"
    }


def test_the_verdict_turns_at_the_last_byte() -> None:
    needed = training_memory(NANO, RUN).peak_bytes
    assert fit(NANO, RUN, a_card(needed - 1)).verdict == "does not fit"
    assert fit(NANO, RUN, a_card(needed)).verdict == "tight"
    roomy = int(needed / (1 - TIGHT_FRACTION)) + 2
    assert fit(NANO, RUN, a_card(roomy)).verdict == "fits"
    assert fit(NANO, RUN, a_card(roomy - 4)).verdict == "tight"


def a_host(memory: int, **changes: object) -> Device:
    return replace(a_card(memory), name="cpu", kind="cpu", **changes)  # type: ignore[arg-type]


def test_a_host_keeps_room_for_the_process_itself() -> None:
    needed = training_memory(NANO, RUN).peak_bytes
    overhead = 300 << 20
    full = fit(NANO, RUN, a_host(needed + overhead - 1, overhead_bytes=overhead))
    assert (full.verdict, full.margin_bytes, full.overhead_bytes) == ("does not fit", -1, overhead)
    assert fit(NANO, RUN, a_host(needed + overhead, overhead_bytes=overhead)).verdict == "tight"


def test_what_other_programs_hold_makes_it_tight() -> None:
    needed = training_memory(NANO, RUN).peak_bytes
    busy = a_host(10 * needed, free_bytes=needed - 1)
    verdict = fit(NANO, RUN, busy)
    assert verdict.verdict == "tight"
    assert "are free now: other programs hold the rest" in verdict.reason
    assert fit(NANO, RUN, a_host(10 * needed, free_bytes=needed)).verdict == "fits"


def test_what_the_allocator_may_lose_makes_it_tight() -> None:
    """Up to half as much again, but never more than a bound."""
    needed = training_memory(NANO, RUN).peak_bytes
    slack = {"allocator_slack": 0.5, "allocator_slack_bytes": 1 << 40}
    lossy = a_host(int(1.4 * needed), **slack)
    verdict = fit(NANO, RUN, lossy)
    assert verdict.verdict == "tight"
    assert "Fragmentation may take it to" in verdict.reason
    assert fit(NANO, RUN, a_host(int(1.51 * needed), **slack)).verdict == "fits"
    assert fit(NANO, RUN, replace(lossy, allocator_slack_bytes=1 << 20)).verdict == "fits"


@given(st.integers(1, 1 << 40), st.integers(0, 1 << 33), st.floats(0, 1), st.integers(0, 1 << 33))
def test_what_surely_fits_fits_at_its_worst(
    memory: int, overhead: int, slack: float, most: int
) -> None:
    host = a_host(
        memory, overhead_bytes=overhead, allocator_slack=slack, allocator_slack_bytes=most
    )
    room = room_bytes(host)
    assert room is not None
    if room:
        assert worst_bytes(room, host) <= memory
        assert worst_bytes(room + 2, host) > memory - 2


def test_sharding_divides_what_does_not_grow_with_the_batch() -> None:
    """Llama-3-8B with AdamW fits no single chip of a Galaxy, but one thirty-second does."""
    spec, run = preset("llama-3-8b").model, RunSpec(batch_size=32, seq_len=512, precision="bf16")
    run = run.replace(card_backend="tt-train")
    galaxy = fit(spec, run, CARDS["galaxy"])
    assert (galaxy.placement, galaxy.chip_batch) == ("data-parallel", 1)
    assert galaxy.verdict == "does not fit"
    assert galaxy.sharded_verdict in ("fits", "tight")
    assert galaxy.sharded_bytes is not None
    assert count(spec).total * 8 // 32 < galaxy.sharded_bytes < CARDS["galaxy"].chip_memory_bytes
    assert "Sharded among the 32 chips: at most" in galaxy.reason
    alone = fit(spec, run, CARDS["n150"])
    assert (alone.placement, alone.sharded_bytes, alone.sharded_verdict) == ("one chip", None, None)


@given(st.data(), st.integers(2, 32))
def test_sharding_never_promises_less_than_a_fair_share(data: st.DataObject, chips: int) -> None:
    spec = data.draw(model_specs())
    run = data.draw(run_specs(spec))
    whole = memory_of_batch(spec, run, 2)
    states = whole.weights_bytes + whole.optimizer_bytes
    sharded = sharded_bytes(spec, run, chips, 2)
    assert states // chips < sharded
    assert sharded_bytes(spec, run, chips, 3) >= sharded


def test_unknown_memory_is_said_to_be_unknown() -> None:
    verdict = fit(NANO, RUN, a_card(None))
    assert (verdict.verdict, verdict.margin_bytes, verdict.capacity_bytes) == (
        "unknown",
        None,
        None,
    )
    assert "not known" in verdict.reason
    with pytest.raises(ValueError, match="not known"):
        largest_batch(NANO, RUN, a_card(None))
    with pytest.raises(ValueError, match="not known"):
        largest_context(NANO, RUN, a_card(None))


def test_several_chips_share_the_batch_where_it_divides() -> None:
    assert chip_batch(16, CARDS["t3k"]) == 2
    assert chip_batch(12, CARDS["t3k"]) == 12
    run = RUN.replace(card_backend="tt-train")
    shared, whole = fit(NANO, run, CARDS["t3k"]), fit(NANO, run, CARDS["n150"])
    two = run.replace(batch_size=2, device="t3k")
    assert shared.needed_bytes == training_memory(NANO, two).peak_bytes
    assert shared.needed_bytes < whole.needed_bytes
    assert "2 of the 16 sequences" in shared.reason
    uneven = fit(NANO, run.replace(batch_size=12), CARDS["t3k"])
    assert "cannot be split evenly" in uneven.reason
    assert uneven.chip_batch == 12


def test_our_own_graph_computes_on_one_chip_with_the_whole_batch() -> None:
    one, all_chips = fit(NANO, RUN, CARDS["n150"]), fit(NANO, RUN, CARDS["t3k"])
    assert (all_chips.placement, all_chips.chip_batch, all_chips.sharded_bytes) == (
        "one chip", RUN.batch_size, None,
    )  # fmt: skip
    assert all_chips.needed_bytes == one.needed_bytes
    assert all_chips.capacity_bytes == CARDS["t3k"].chip_memory_bytes
    assert all_chips.reason.endswith("One of its 8 chips computes; tt-train uses all of them.")
    assert "chips" not in one.reason


def test_the_reason_names_what_dominates_and_what_would_help() -> None:
    memory = training_memory(NANO, RUN)
    verdict = fit(NANO, RUN, a_card(memory.peak_bytes // 2))
    assert "activations are" in verdict.reason
    largest = largest_batch(NANO, RUN, a_card(memory.peak_bytes // 2))
    assert f"A batch of {largest:,} fits." in verdict.reason


def test_checkpointing_is_offered_where_no_batch_fits_without() -> None:
    one = training_memory(NANO, RUN.replace(batch_size=1)).peak_bytes
    verdict = fit(NANO, RUN, a_card(one - 1))
    assert "With gradient checkpointing a batch of" in verdict.reason
    states = 16 * count(NANO).total
    less = fit(NANO, RUN, a_card(states + (20 << 20)))
    assert "With gradient checkpointing" in less.reason


def test_a_shorter_context_is_offered_where_one_sequence_is_too_much() -> None:
    long = NANO.replace(max_seq_len=65_536)
    run = RunSpec(batch_size=1, gradient_checkpointing=True)
    verdict = fit(long, run, a_card(1 << 30))
    assert "shorter context" in verdict.reason


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(10_000, 10_000_000), st.integers(1, 4))
def test_the_largest_batch_is_the_largest(data: st.DataObject, memory: int, chips: int) -> None:
    spec = data.draw(model_specs())
    run = data.draw(run_specs(spec))
    card = a_card(memory, chips)
    batch = largest_batch(spec, run, card)
    assert batch % chips == 0
    if batch:
        assert memory_of_batch(spec, run, batch // chips).peak_bytes <= memory
    if batch + chips <= 65_536:
        assert memory_of_batch(spec, run, batch // chips + 1).peak_bytes > memory


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(10_000, 3_000_000))
def test_the_largest_context_is_the_largest(data: st.DataObject, memory: int) -> None:
    spec = data.draw(model_specs())
    run = data.draw(run_specs(spec)).replace(seq_len=None)
    context = largest_context(spec, run, a_card(memory))
    if context:
        fitting = spec.replace(max_seq_len=context)
        assert training_memory(fitting, run).peak_bytes <= memory
    more = spec.replace(max_seq_len=context + 1)
    assert training_memory(more, run).peak_bytes > memory


def test_the_largest_context_stops_where_the_declaration_does() -> None:
    tiny = ModelSpec(hidden_dim=2, num_layers=1, num_heads=1, num_kv_heads=1, mlp_dim=1,
                     vocab_size=2, position="none")  # fmt: skip
    assert largest_context(tiny, RunSpec(batch_size=1), a_card(1 << 50)) == 4_194_304


def test_what_tt_train_takes_is_said_to_be_an_estimate() -> None:
    run = RUN.replace(card_backend="tt-train")
    needed = fit(NANO, run, CARDS["n150"]).needed_bytes
    nearly = replace(CARDS["n150"], chip_memory_bytes=int(needed * 1.05))
    verdict = fit(NANO, run, nearly)
    assert verdict.verdict == "tight"
    assert "What tt-train takes is an estimate" in verdict.reason
    ours = RUN.replace(precision="bf16-mixed")
    exact = fit(NANO, ours, CARDS["n150"]).needed_bytes
    full = replace(CARDS["n150"], chip_memory_bytes=exact + CARDS["n150"].overhead_bytes)
    assert fit(NANO, ours, full).verdict == "tight"
    assert "estimate" not in fit(NANO, ours, full).reason
    less = replace(full, chip_memory_bytes=exact + full.overhead_bytes - 1)
    assert fit(NANO, ours, less).verdict == "does not fit"


def test_the_same_run_is_counted_as_each_device_computes_it() -> None:
    """A CPU without 16-bit tiles keeps attention in fp32; a card writes its scores out."""
    spec = ModelSpec(num_layers=2)
    run = RunSpec(precision="bf16-mixed", device="auto")
    host = Device("cpu", "This CPU", "cpu", 1, 1 << 34, 1 << 34)
    gpu = replace(host, name="cuda:0", kind="cuda")
    needed = [fit(spec, run, device).needed_bytes for device in (gpu, host, CARDS["n150"])]
    assert needed == sorted(set(needed))
    for device, size in zip((gpu, host, CARDS["n150"]), needed, strict=True):
        on_it = run.replace(device=device.name)
        assert evaluate(spec, on_it, (device,)).memory.peak_bytes == size
