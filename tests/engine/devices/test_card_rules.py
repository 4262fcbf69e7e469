"""What the backend lacks is named with a way out, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.devices.card_rules import check_for_cards, unsupported
from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_parameters, run_problems
from engine.spec import ModelSpec, problems
from tests.engine.backends.tenstorrent.designs import card_specs, small
from tests.engine.strategies import model_specs, run_specs

RUN = RunSpec(precision="bf16-mixed")


@given(card_specs())
def test_nothing_is_missing_for_all_kinds_of_designs(spec: ModelSpec) -> None:
    assert unsupported(spec, RUN) == ()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd-momentum", "sgd"])
def test_nothing_is_missing_for_all_optimizers_and_checkpointing(optimizer: str) -> None:
    run = RUN.replace(optimizer=optimizer, gradient_checkpointing=True, accumulation_steps=4)
    assert unsupported(small(), run) == ()


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"hidden_dim": 48}, {"hidden_dim": 64}),
        ({"hidden_dim": 36, "num_heads": 6, "num_kv_heads": 6}, {"hidden_dim": 96}),
        ({"precision": "fp32"}, {"precision": "bf16-mixed"}),
        ({"compile": "on"}, {"compile": "auto"}),
    ],
)
def test_each_lack_is_named_with_its_way_out(
    changes: dict[str, Value], fix: dict[str, Value]
) -> None:
    of_run = {name: value for name, value in changes.items() if name in run_parameters()}
    of_model = {name: value for name, value in changes.items() if name not in of_run}
    (problem,) = unsupported(small(**of_model), RUN.replace(**of_run))
    assert problem.field in changes
    assert problem.fix == fix


def test_a_run_by_tt_train_is_held_to_what_tt_train_has() -> None:
    run = RUN.replace(device="n300:0", card_backend="tt-train", batch_size=3, optimizer="sgd")
    odd = ModelSpec(vocab_size=65)
    assert unsupported(odd, run.replace(card_backend="ttnn")) == ()
    found = unsupported(odd, run)
    assert [problem.field for problem in found] == ["vocab_size", "optimizer", "batch_size"]
    with pytest.raises(SpecError) as caught:
        check_for_cards(odd, run)
    assert caught.value.fix == {"vocab_size": 96}


@given(spec=model_specs(large=True), data=st.data())
def test_every_way_out_leads_to_a_run_that_can_start(spec: ModelSpec, data: st.DataObject) -> None:
    run = data.draw(run_specs(spec)).replace(compile=data.draw(st.sampled_from(("on", "auto"))))
    for problem in unsupported(spec, run):
        of_run = {name: value for name, value in problem.fix.items() if name in run_parameters()}
        of_model = {name: value for name, value in problem.fix.items() if name not in of_run}
        spec, run = spec.replace(**of_model), run.replace(**of_run)
    assert unsupported(spec, run) == ()
    assert problems(spec) == ()
    assert run_problems(run, spec) == ()
