"""What one notch costs, against the costs of the two designs worked out apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cost.limits import chip_batch
from engine.cost.marginal import Baseline, Change, baseline, compare, marginal
from engine.cost.memory import memory_of_batch, training_memory
from engine.cost.parameters import count
from engine.cost.time import flops_per_step, predicted_step
from engine.devices.card import Device, load_cards
from engine.run_spec import RunSpec
from engine.spec import ModelSpec, model_parameters, problems
from engine.steps import linked_changes
from tests.computers import computer
from tests.engine.strategies import model_specs, run_specs

NANO, RUN = ModelSpec(), RunSpec(batch_size=16)
CPU = Device(
    name="cpu", title="CPU", kind="cpu", chips=1, memory_bytes=1 << 34, chip_memory_bytes=1 << 34
)  # fmt: skip
MEASURED = computer(NANO, RUN, 1.0)


def priced(spec: ModelSpec = NANO, run: RunSpec = RUN) -> Baseline:
    base = baseline(spec, run)
    assert base is not None
    return base


def timed(run: RunSpec = RUN) -> Baseline:
    base = baseline(NANO, run, CPU, MEASURED)
    assert base is not None
    return base


def of_run(base: Baseline, **changes: int | str | bool) -> Change:
    change = compare(base, base.spec, base.run.replace(**changes))
    assert change is not None
    return change


def test_one_more_layer_is_one_more_block() -> None:
    more = marginal(priced(), "num_layers")
    assert more is not None
    assert (more.next_value, more.change.params_delta) == (7, 852_480)
    assert more.change.memory_delta_bytes > 16 * 852_480
    assert 1.16 < more.change.time_ratio < 1.17


def test_one_layer_fewer() -> None:
    less = marginal(priced(), "num_layers", -1)
    assert less is not None
    assert (less.next_value, less.change.params_delta) == (5, -852_480)


def test_key_value_heads_follow_the_heads() -> None:
    more = marginal(priced(), "num_heads")
    assert more is not None
    assert (more.next_value, more.change.params_delta) == (16, 0)


def test_nothing_at_the_end_of_a_slider() -> None:
    assert marginal(priced(), "num_kv_heads") is None


def test_nothing_for_a_design_that_is_broken_already() -> None:
    assert baseline(NANO.replace(num_heads=7, num_kv_heads=7), RUN) is None
    assert baseline(NANO, RUN.replace(seq_len=1_024)) is None


def test_nothing_where_the_run_would_not_fit_the_context() -> None:
    assert marginal(priced(run=RUN.replace(seq_len=512)), "max_seq_len", -1) is None


@pytest.mark.parametrize("name", list(model_parameters()))
def test_every_parameter_can_be_asked(name: str) -> None:
    marginal(priced(), name)


def test_where_no_speed_is_known_time_is_told_by_arithmetic() -> None:
    for base in (priced(), baseline(NANO, RUN, CPU, None)):
        assert base is not None
        assert base.step is None
        more = marginal(base, "num_layers")
        assert more is not None
        assert (more.change.basis, more.change.step_s) == ("arithmetic", None)
        now = flops_per_step(NANO, RUN)
        then = flops_per_step(NANO.replace(num_layers=7), RUN)
        assert more.change.time_ratio == then / now


def test_where_a_speed_is_known_time_is_that_of_the_device() -> None:
    more = marginal(timed(), "num_layers")
    assert more is not None
    now = predicted_step(NANO, RUN, CPU, MEASURED)
    then = predicted_step(NANO.replace(num_layers=7), RUN, CPU, MEASURED)
    assert now is not None
    assert then is not None
    assert more.change.step_s == (now.seconds, then.seconds)
    assert more.change.run_s == (now.seconds * RUN.steps, then.seconds * RUN.steps)
    assert more.change.time_ratio == pytest.approx(then.seconds / now.seconds)
    assert more.change.basis == "measured"


def test_a_part_that_is_guessed_makes_it_an_estimate() -> None:
    """Nobody measured what an update takes with this optimizer."""
    other = of_run(timed(), optimizer="adafactor")
    assert other.basis == "estimate"
    assert other.memory_delta_bytes < 0


@pytest.mark.parametrize("base", [priced(), timed()], ids=["arithmetic", "measured"])
def test_settings_of_the_run_have_their_price(base: Baseline) -> None:
    batch = of_run(base, batch_size=32)
    assert batch.params_delta == 0
    assert batch.memory_delta_bytes > 0
    assert 1.5 < batch.time_ratio < 2.1
    longer = of_run(base, steps=2 * base.run.steps)
    assert (longer.memory_delta_bytes, longer.time_ratio) == (0, pytest.approx(2))
    twice = of_run(base, accumulation_steps=2)
    assert 1.5 < twice.time_ratio < 2.1  # the weights are updated once for both
    assert twice.memory_delta_bytes >= 0
    again = of_run(base, gradient_checkpointing=True)
    assert again.memory_delta_bytes < 0
    assert 1.2 < again.time_ratio < 1.4  # the blocks' forward pass once more: about a third


def test_a_longer_run_takes_longer_though_its_step_does_not() -> None:
    longer = of_run(timed(), steps=2 * RUN.steps)
    assert longer.step_s is not None
    assert longer.run_s is not None
    assert longer.step_s[0] == longer.step_s[1]
    assert longer.run_s[1] == 2 * longer.run_s[0]


def test_a_change_beyond_what_was_measured_has_an_unknown_time() -> None:
    change = of_run(timed(), precision="bf16")
    assert (change.basis, change.step_s, change.run_s) == ("unknown", None, None)
    assert not change.free
    assert change.memory_delta_bytes < 0


def test_what_costs_nothing_is_free() -> None:
    assert of_run(priced(), learning_rate=1e-3).free
    assert not of_run(priced(), steps=RUN.steps + 1_000).free


def test_on_a_card_with_chips_memory_is_that_of_one() -> None:
    card = next(card for card in load_cards() if card.chips > 1)
    run = RUN.replace(device=card.name, card_backend="tt-train")
    base = baseline(NANO, run, card)
    assert base is not None
    part = chip_batch(RUN.batch_size, card)
    assert part < RUN.batch_size
    assert base.memory_bytes == memory_of_batch(NANO, run, part).peak_bytes
    more = marginal(base, "num_layers")
    assert more is not None
    then = memory_of_batch(NANO.replace(num_layers=7), run, part).peak_bytes
    assert more.change.memory_delta_bytes == then - base.memory_bytes
    assert more.change.basis == "estimate"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_differences_are_those_of_the_two_designs(data: st.DataObject) -> None:
    spec = data.draw(model_specs())
    run = data.draw(run_specs(spec))
    name = data.draw(st.sampled_from(("num_layers", "mlp_dim", "vocab_size", "hidden_dim")))
    base = baseline(spec, run)
    more = None if base is None else marginal(base, name)
    if more is None:
        return
    changed = spec.replace(**linked_changes(spec, name, more.next_value))
    assert not problems(changed)
    assert more.change.params_delta == count(changed).total - count(spec).total
    assert more.change.memory_delta_bytes == (
        training_memory(changed, run).peak_bytes - training_memory(spec, run).peak_bytes
    )
