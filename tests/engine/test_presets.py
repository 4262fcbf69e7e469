from __future__ import annotations

import pytest

from engine import presets
from engine.cost.parameters import count
from engine.parameter import SpecError
from engine.presets import Preset, load_presets, preset
from engine.resource_files import ResourceError
from engine.run_spec import run_problems
from engine.spec import problems

REQUIRED = {
    "nano-trickster": 5_180_672, "tinyllama-1.1b": 1_100_048_384, "llama-3-8b": 8_030_261_248,
    "gpt2": 124_439_808, "minidecoder": 6_297_088, "troelsllm": 162_419_712,
    "nanollama3-char": 9_810_816, "nanogpt-char": 10_819_584,
    "scaling-125m": 125_226_240, "scaling-350m": 355_871_744,
    "scaling-1.3b": 1_315_723_264, "scaling-6.7b": 6_658_404_352, "scaling-13b": 12_853_386_240,
    "scaling-70b": 64_861_528_064, "good-design": 5_180_672,
}  # fmt: skip


@pytest.mark.parametrize("entry", load_presets(), ids=lambda entry: entry.id)
def test_each_preset_has_exactly_its_total_and_can_run(entry: Preset) -> None:
    assert entry.title
    assert entry.description.endswith(".")
    assert entry.source
    assert not run_problems(entry.run, entry.model)
    if entry.total is None:
        assert problems(entry.model)
    else:
        assert not problems(entry.model)
        assert count(entry.model).total == entry.total


@pytest.mark.parametrize("name", REQUIRED)
def test_known_models_have_their_published_totals(name: str) -> None:
    assert preset(name).total == REQUIRED[name]


def test_the_lessons_impossible_design_is_impossible_for_its_reason() -> None:
    (problem,) = problems(preset("bad-design-heads").model)
    assert "256 is not divisible by 7 heads" in problem.message


def test_the_lessons_recipe() -> None:
    entry = preset("nano-trickster")
    run = entry.run
    assert (run.batch_size, run.accumulation_steps, run.steps) == (16, 2, 10_000)
    assert (run.learning_rate, run.warmup_steps, run.min_lr_ratio) == (3e-4, 1_000, 0.1)
    assert (run.beta1, run.beta2, run.weight_decay, run.grad_clip) == (0.9, 0.95, 0.1, 1.0)
    assert (run.validate_every, run.save_every, run.keep_best) == (500, 1_000, 3)
    assert run.prompts == ("ROMEO:", "JULIET:", "To be or not", "What is", "KING:", "GHOST:")
    assert entry.model.dropout == 0.1
    assert entry.claims[0].printed == "~11M"


def test_scaling_runs_see_the_tokens_that_the_table_names() -> None:
    for name, tokens in (("scaling-125m", 2.5e9), ("scaling-70b", 1.4e12)):
        entry = preset(name)
        seen = entry.run.tokens_per_step(entry.model) * entry.run.steps
        assert seen == pytest.approx(tokens, rel=1e-3)


@pytest.mark.parametrize("entry", load_presets(), ids=lambda entry: entry.id)
def test_each_claim_is_one_sentence_about_a_design_that_can_be_built(entry: Preset) -> None:
    assert bool(entry.claims) == bool(entry.printed_by)
    for claim in entry.claims:
        assert claim.figure
        assert claim.printed
        assert claim.why.endswith(".")
        assert ". " not in claim.why
        assert claim.model is None or not problems(claim.model)
    assert entry.total is not None or not entry.claims


def test_a_claim_may_be_about_a_changed_design() -> None:
    claims = {claim.printed: claim for claim in preset("nano-trickster").claims}
    changed = claims["524K"].model
    assert changed == preset("nano-trickster").model.replace(mlp_dim=1_024)


def test_an_unknown_name_brings_close_ones() -> None:
    with pytest.raises(SpecError, match="did you mean nano-trickster"):
        preset("nano-trikster")
    with pytest.raises(SpecError) as caught:
        preset("x" * 1_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("entries", [None, 3, [{}], [{"id": "a", "total": 1}], ["x"]])
def test_a_damaged_file_is_named(monkeypatch: pytest.MonkeyPatch, entries: object) -> None:
    monkeypatch.setattr(presets, "read_resource_yaml", lambda _: entries)
    with pytest.raises(ResourceError, match=r"presets\.yaml"):
        load_presets.__wrapped__()


def test_a_name_given_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"id": "a", "title": "", "description": "", "source": "", "model": {}, "total": 1}
    monkeypatch.setattr(presets, "read_resource_yaml", lambda _: [entry, entry])
    with pytest.raises(ResourceError, match="twice"):
        load_presets.__wrapped__()
