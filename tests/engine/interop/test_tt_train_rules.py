"""What tt-train cannot train is named before a run, all of it, each with a way out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.devices.card import load_cards
from engine.interop.tt_train_rules import tt_train_problems
from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_parameters, run_problems
from engine.spec import ModelSpec, problems
from tests.engine.strategies import model_specs, run_specs

CARDS = [card.name for card in load_cards()]
LLAMA = ModelSpec(
    hidden_dim=64, num_layers=2, num_heads=2, num_kv_heads=1, mlp_dim=96, max_seq_len=32,
    vocab_size=32, tied_embeddings=False,
)  # fmt: skip
RUN = RunSpec(device="n150", batch_size=8, precision="bf16-mixed", card_backend="tt-train")


@pytest.mark.parametrize("device", [*CARDS, "n150:1", "p150:3"])
def test_a_llama_can_be_trained_on_every_card(device: str) -> None:
    assert tt_train_problems(LLAMA, RUN.replace(device=device, batch_size=32)) == ()


@pytest.mark.parametrize(
    ("model", "changes", "fix"),
    [
        ({"norm": "layernorm"}, {}, {"norm": "rmsnorm"}),
        ({"vocab_size": 65}, {}, {"vocab_size": 96}),
        ({}, {"seq_len": 16}, {"seq_len": None}),
        ({}, {"optimizer": "sgd"}, {"optimizer": "adamw"}),
        ({}, {"compile": "on"}, {"compile": "auto"}),
        ({}, {"attention": "materialised"}, {"attention": "auto"}),
        ({}, {"loss_chunk": 128}, {"loss_chunk": None}),
        ({}, {"device": "n300", "batch_size": 3}, {"batch_size": 4}),
        ({}, {"device": "n300:1"}, {"device": "n300:0"}),
        ({}, {"device": "cpu"}, {"device": "n150"}),
    ],
)
def test_each_lack_is_named_with_its_way_out(
    model: dict[str, Value], changes: dict[str, Value], fix: dict[str, Value]
) -> None:
    (problem,) = tt_train_problems(LLAMA.replace(**model), RUN.replace(**changes))
    assert problem.field == next(iter(fix))
    assert problem.fix == fix


def test_all_of_it_is_named_at_once() -> None:
    found = tt_train_problems(
        LLAMA.replace(norm="layernorm", vocab_size=65), RUN.replace(device="t3k", batch_size=3)
    )
    assert [problem.field for problem in found] == ["norm", "vocab_size", "batch_size"]


@given(spec=model_specs(), data=st.data())
def test_every_way_out_leads_to_a_run_that_can_start(spec: ModelSpec, data: st.DataObject) -> None:
    device = data.draw(st.sampled_from((*CARDS, "n300:1", "auto")))
    run = data.draw(run_specs(spec)).replace(device=device, card_backend="tt-train")
    for _ in range(20):  # one problem after the other, and more of them than a person meets
        found: tuple[SpecError, ...] = (
            *problems(spec), *run_problems(run, spec), *tt_train_problems(spec, run),
        )  # fmt: skip
        if not found:
            break
        fix = found[0].fix
        of_run = {name: value for name, value in fix.items() if name in run_parameters()}
        of_model = {name: value for name, value in fix.items() if name not in of_run}
        spec, run = spec.replace(**of_model), run.replace(**of_run)
    assert found == ()
