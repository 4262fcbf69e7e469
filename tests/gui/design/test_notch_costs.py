"""The words beside a slider, against the exact difference."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.cost.marginal import Change
from engine.cost.memory import training_memory
from engine.cost.parameters import count
from engine.cost.time import flops_per_step, predicted_step
from engine.devices.card import Device
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.words import binary_bytes, duration, short_count, signed_percent
from tests.computers import computer
from trickster_gui.design.notch_costs import (
    PRICED_MODEL,
    PRICED_RUN,
    Machine,
    notch_costs,
    notch_words,
)
from trickster_gui.document import Design

DESIGN = Design(ModelSpec(), RunSpec())
NOWHERE = Machine()
CPU = Device("cpu", "This CPU", "cpu", 1, 1 << 34, 1 << 34)
HERE = Machine(CPU, computer(DESIGN.model, DESIGN.run, 1.0))


def longest(name: str, machine: Machine = NOWHERE, design: Design = DESIGN) -> str:
    key = ("run" if name in PRICED_RUN else "model", name)
    return notch_costs(design, [key], machine)[key][0]  # type: ignore[list-item,index]


def peak(spec: ModelSpec, run: RunSpec) -> int:
    return training_memory(spec, run).peak_bytes


def test_one_layer_more_says_exactly_what_it_adds() -> None:
    more, run = ModelSpec(num_layers=7), RunSpec()
    params = count(more).total - count(ModelSpec()).total
    memory = peak(more, run) - peak(ModelSpec(), run)
    arithmetic = flops_per_step(more, run) / flops_per_step(ModelSpec(), run)
    assert longest("num_layers") == (
        f"+1 layer: {short_count(params, signed=True)} params, "
        f"{binary_bytes(memory, signed=True)}, {signed_percent(arithmetic)} FLOPs"
    )


def test_where_the_speed_is_known_it_says_time() -> None:
    before = predicted_step(ModelSpec(), RunSpec(), CPU, HERE.calibration)
    after = predicted_step(ModelSpec(num_layers=7), RunSpec(), CPU, HERE.calibration)
    assert before is not None
    assert after is not None
    said = longest("num_layers", HERE)
    assert said.endswith(f", {signed_percent(after.seconds / before.seconds)} time")


def test_a_larger_batch_costs_memory_and_time() -> None:
    delta = peak(ModelSpec(), RunSpec(batch_size=16)) - peak(ModelSpec(), RunSpec())
    assert longest("batch_size") == f"+4: {binary_bytes(delta, signed=True)}, +33 % FLOPs"


def test_more_accumulation_costs_time() -> None:
    assert longest("accumulation_steps").endswith("+100 % FLOPs")
    assert "params" not in longest("accumulation_steps")


def test_more_steps_cost_a_stated_time() -> None:
    design = Design(ModelSpec(), RunSpec(steps=1_000))
    step = predicted_step(design.model, design.run, CPU, HERE.calibration)
    assert step is not None
    expected = f"+500: +{duration(500 * step.seconds)}, +50 % time"
    assert longest("steps", HERE, design) == expected
    assert longest("steps", NOWHERE, design) == "+500: +50 % FLOPs"


def test_a_context_longer_than_the_runs_sequences_costs_this_run_nothing() -> None:
    design = Design(ModelSpec(), RunSpec(seq_len=256))
    assert longest("max_seq_len", design=design) == "+256: nothing in this run"


def test_what_costs_nothing_or_cannot_be_built_says_nothing() -> None:
    keys = [("run", "learning_rate"), ("model", "norm_eps")]
    assert notch_costs(DESIGN, keys, NOWHERE) == {}  # type: ignore[arg-type]
    broken = Design(ModelSpec(num_heads=7), RunSpec())
    assert notch_costs(broken, [("model", "num_layers"), ("run", "batch_size")], NOWHERE) == {}


def test_dropout_is_worth_a_word_only_where_it_begins() -> None:
    key = ("model", "dropout")
    assert longest("dropout").startswith("0.05: +1.")
    with_dropout = Design(ModelSpec(dropout=0.1), RunSpec())
    assert notch_costs(with_dropout, [key], NOWHERE) == {}  # type: ignore[list-item]


def test_every_priced_row_has_words() -> None:
    design = Design(ModelSpec(num_kv_heads=4, head_dim=32), RunSpec(seq_len=128))
    keys = [("model", name) for name in sorted(PRICED_MODEL)]
    keys += [("run", name) for name in sorted(PRICED_RUN)]
    found = notch_costs(design, keys, HERE)  # type: ignore[arg-type]
    assert set(found) == set(keys)
    for wordings in found.values():
        assert len(wordings) == len(set(wordings))
        assert all(any(letter.isdigit() for letter in text) for text in wordings[:-1])


@given(
    st.integers(-(10**12), 10**12), st.integers(-(10**13), 10**13), st.floats(0.001, 1e6),
    st.sampled_from(["measured", "arithmetic"]),
)  # fmt: skip
def test_each_wording_is_shorter_than_the_last(
    params: int, memory: int, ratio: float, basis: str
) -> None:
    change = Change(params, memory, ratio, basis)  # type: ignore[arg-type]
    wordings = notch_words("+128 heads", change, "num_heads")
    widths = [len(text) for text in wordings]
    assert widths == sorted(widths, reverse=True)
    assert wordings[0].startswith("+128 heads: ")
