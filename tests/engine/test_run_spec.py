from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.parameter import SpecError
from engine.run_spec import (
    RUN_GROUPS,
    RunSpec,
    attention_problem,
    check_run,
    run_from_dict,
    run_parameters,
    run_problems,
    run_to_dict,
)
from engine.spec import ModelSpec
from tests.engine.strategies import model_specs, run_specs

NANO, RUN = ModelSpec(), RunSpec()


def test_the_defaults_can_run_and_every_setting_is_declared() -> None:
    assert check_run(RUN, NANO) is RUN
    assert set(run_parameters()) == set(run_to_dict(RUN))
    for parameter in run_parameters().values():
        assert parameter.group in RUN_GROUPS
        assert parameter.help.endswith(".")


def test_tokens_of_a_step() -> None:
    run = RUN.replace(batch_size=4, accumulation_steps=3)
    assert (run.sequence_length(NANO), run.tokens_per_step(NANO)) == (512, 4 * 3 * 512)
    assert run.replace(seq_len=100).tokens_per_step(NANO) == 1_200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seq_len": 513}, "seq_len"),
        ({"steps": 10}, "warmup_steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"steps": 0}, "steps"),
    ],
)
def test_each_problem_is_at_its_setting_and_its_fix_removes_it(
    change: dict[str, object], field: str
) -> None:
    run = RUN.replace(**change)  # type: ignore[arg-type]
    with pytest.raises(SpecError) as caught:
        check_run(run, NANO)
    assert caught.value.field == field
    for _ in range(3):
        found = run_problems(run, NANO)
        if found:
            run = run.replace(**found[0].fix)
    assert not run_problems(run, NANO)


def test_from_plain_values() -> None:
    assert run_from_dict({}) == RUN
    assert run_from_dict({"prompts": ["a", "b"]}).prompts == ("a", "b")
    with pytest.raises(SpecError, match="not a setting"):
        run_from_dict({"lr": 1e-3})
    with pytest.raises(SpecError):
        run_from_dict({"steps": "10"})


def test_a_run_trains_on_cards_by_our_graph_unless_it_names_tt_train() -> None:
    older = {name: value for name, value in run_to_dict(RUN).items() if name != "card_backend"}
    assert run_from_dict(older).card_backend == "ttnn"
    assert run_from_dict({"card_backend": "tt-train"}).card_backend == "tt-train"
    with pytest.raises(SpecError, match="ttnn, tt-train") as caught:
        run_from_dict({"card_backend": "ttml"})
    assert caught.value.field == "card_backend"


@given(st.data())
def test_runs_survive_json(data: st.DataObject) -> None:
    run = data.draw(run_specs(data.draw(model_specs()))).replace(prompts=("ROMEO:", ""))
    assert run_from_dict(json.loads(json.dumps(run_to_dict(run)))) == run


def test_fused_attention_is_refused_by_name_where_torch_has_none() -> None:
    dropping = NANO.replace(dropout=0.1)
    fused = RUN.replace(attention="fused")
    assert attention_problem(fused, NANO, "cpu") is None
    assert attention_problem(fused, dropping, "cuda:0") is None
    assert attention_problem(RUN, dropping, "cpu") is None
    for spec, device in ((dropping, "cpu"), (NANO, "mps")):
        problem = attention_problem(fused, spec, device)
        assert problem is not None
        assert problem.field == "attention"
        with pytest.raises(SpecError, match="no fused attention"):
            check_run(fused.replace(device=device), spec)
        assert problem.fix == {"attention": "auto"}
    assert run_problems(fused.replace(device="auto"), dropping) == ()  # it may become a GPU
