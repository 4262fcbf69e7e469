"""ttml driven through our own run directory, over the recording double."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engine.backends.card.initial_weights import initial_weights
from engine.backends.tt_train.model import TtTrainModel, open_tt_train
from engine.data.dataset import BatchSource, TokenDataset
from engine.events import Failed, Sample, Saved, Started, Step, Validation, Warned
from engine.parameter import SpecError, Value
from engine.run_directory import RunDirectory
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.backends.card.numpy_model import arrays_of, train_card
from tests.engine.backends.card.test_loop import at_step
from tests.engine.backends.tt_train import recorded_ttml
from tests.engine.training.tiny import events, new_run

LLAMA = ModelSpec(
    hidden_dim=64, num_layers=2, num_heads=2, num_kv_heads=1, mlp_dim=96, max_seq_len=32,
    vocab_size=32, tied_embeddings=False, dropout=0.1,
)  # fmt: skip
GPT = LLAMA.replace(
    num_kv_heads=2, mlp_dim=256, norm="layernorm", activation="gelu", position="learned",
    qkv_bias=True, attention_output_bias=True, mlp_bias=True,
)  # fmt: skip
RUN = RunSpec(
    device="n150", batch_size=4, accumulation_steps=2, precision="bf16-mixed", steps=20,
    learning_rate=0.05, warmup_steps=2, weight_decay=0.01,
)  # fmt: skip


@pytest.fixture(autouse=True)
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[recorded_ttml.AutoContext]:
    context = recorded_ttml.install(monkeypatch)
    yield context
    assert context.mesh is None, "the device was not given back"


@pytest.fixture
def opened() -> Iterator[Callable[..., TtTrainModel]]:
    """Opens models, one after another, and gives back the device of one that was not closed."""
    models: list[TtTrainModel] = []

    def make(spec: ModelSpec = LLAMA, **changes: Value) -> TtTrainModel:
        models.append(open_tt_train(spec, RUN.replace(**changes)))
        models[-1].load(initial_weights(spec, 3), {}, 0)
        return models[-1]

    yield make
    if models and models[-1]._context.mesh is not None:
        models[-1].close()


def batches(count: int = 2, rows: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
    chance = np.random.default_rng(7)
    made = []
    for _ in range(count):
        ids = chance.integers(0, 8, size=(rows, 33))
        made.append((ids[:, :-1], ids[:, 1:]))
    return made


def card_run(folder: Path, name: str = "run", spec: ModelSpec = LLAMA, **changes: Any) -> Any:
    settings = {"device": "n150", "precision": "bf16-mixed", "learning_rate": 0.05}
    return new_run(folder, name, spec, **{**settings, **changes})


# What a step asks of ttml, and in which order


def test_a_step_is_that_of_tt_trains_own_examples(
    double: recorded_ttml.AutoContext, opened: Callable[..., TtTrainModel]
) -> None:
    model = opened()
    double.calls.clear()
    result = model.step(batches(), 0.01, 77)
    assert double.calls == [
        ("set_seed", 77), "zero_grad", "zero_grad",
        ("forward", 4, True), "backward", "reset_graph",
        ("forward", 4, True), "backward", "reset_graph",
        ("clip_grad_norm", 1.0), "step", "step",
    ]  # fmt: skip
    assert result.loss == pytest.approx(np.log(32), rel=0.01)
    assert result.grad_norm > 0


def test_the_mean_gradient_of_two_halves_is_that_of_the_whole(
    opened: Callable[..., TtTrainModel],
) -> None:
    one, two = batches()
    whole = [np.concatenate(pair) for pair in zip(one, two, strict=True)]
    norms = [
        opened_once(opened, [one, two]).grad_norm,
        opened_once(opened, [tuple(whole)], batch_size=8, accumulation_steps=1).grad_norm,
    ]
    assert norms[0] == pytest.approx(norms[1], rel=0.02)


def opened_once(opened: Callable[..., TtTrainModel], parts: Any, **changes: Value) -> Any:
    model = opened(**changes)
    result = model.step(parts, 0.01, 1)
    model.close()
    return result


def test_no_clip_tells_the_norm_all_the_same(
    double: recorded_ttml.AutoContext, opened: Callable[..., TtTrainModel]
) -> None:
    model = opened(grad_clip=0.0)
    assert model.step(batches(), 0.01, 1).grad_norm > 0
    assert ("clip_grad_norm", 1e30) in double.calls


def test_matrices_decay_and_vectors_do_not(
    double: recorded_ttml.AutoContext, opened: Callable[..., TtTrainModel]
) -> None:
    opened(GPT)
    made = [call for call in double.calls if call[0] == "AdamWFullPrecision"]
    (_, matrices, one), (_, vectors, other) = made
    assert (one.weight_decay, other.weight_decay) == (0.01, 0.0)
    assert (one.lr, one.beta1, one.beta2, one.epsilon) == (0.05, 0.9, 0.95, 1e-8)
    assert all(name.endswith("weight") for name in matrices)
    assert {name.rsplit("/")[-1] for name in vectors} == {
        "bias", "beta", "gamma", "ln_f_gamma", "ln_f_beta",
    }  # fmt: skip


def test_pure_bf16_rounds_at_random(
    double: recorded_ttml.AutoContext, opened: Callable[..., TtTrainModel]
) -> None:
    model = opened(precision="bf16")
    made = [call for call in double.calls if call[0] == "AdamW"]
    assert [call[2].stochastic_rounding for call in made] == [True, True]
    assert model.precision == "bf16"
    kept = model.weights()["model.layers.0.mlp.up_proj.weight"]
    assert np.array_equal(kept, recorded_ttml.bf16(kept))


def test_the_design_reaches_ttml(
    double: recorded_ttml.AutoContext, opened: Callable[..., TtTrainModel]
) -> None:
    spec = LLAMA.replace(rope_scaling="llama3", rope_factor=4.0, rope_theta=5e5)
    opened(spec, gradient_checkpointing=True)
    [config] = [call[1] for call in double.calls if call[0] == "Llama"]
    assert config.runner_type is recorded_ttml.RunnerType.MemoryEfficient
    assert (config.num_key_value_heads, config.intermediate_size) == (1, 96)
    assert (config.attention_dropout, config.mlp_dropout, config.rope_theta) == (0.1, 0.1, 5e5)
    assert config.rope_scaling == recorded_ttml.LlamaRopeScalingConfig(4.0, 4.0, 1.0, 8)


def test_gpt2_reaches_ttml_too(
    double: recorded_ttml.AutoContext, opened: Callable[..., TtTrainModel]
) -> None:
    opened(GPT.replace(tied_embeddings=True))
    [config] = [call[1] for call in double.calls if call[0] == "NanoGPT"]
    assert (config.n_embd, config.n_layer, config.n_head, config.block_size) == (64, 2, 2, 32)
    assert config.weight_tying is recorded_ttml.WeightTyingType.Enabled
    assert config.positional_embedding_type == "trainable"


# Weights, state, scores


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("spec", [LLAMA, GPT, LLAMA.replace(tied_embeddings=True)])
def test_weights_and_state_come_back_to_the_last_bit(
    monkeypatch: pytest.MonkeyPatch, opened: Callable[..., TtTrainModel], spec: ModelSpec,
    fused: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(recorded_ttml.Llama, "fused", fused)
    model, chance = opened(spec), np.random.default_rng(1)
    shapes = {name: array.shape for name, array in initial_weights(spec, 0).items()}
    weights = {n: chance.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    state = {f"{kind}/{n}": chance.random(size=s).astype(np.float32)
             for kind in ("exp_avg", "exp_avg_sq") for n, s in shapes.items()}  # fmt: skip
    assert model.optimizer_shapes() == {key: array.shape for key, array in state.items()}
    model.load(weights, state, 12)
    for found, given in ((model.weights(), weights), (model.optimizer_state(), state)):
        assert found.keys() == given.keys()
        assert all(np.array_equal(found[name], given[name]) for name in given)


def test_validation_is_worked_out_from_the_scores_and_not_from_training(
    double: recorded_ttml.AutoContext, opened: Callable[..., TtTrainModel]
) -> None:
    model = opened()
    [(inputs, targets)] = batches(1, rows=3)
    weights = {n: recorded_ttml.bf16(a) for n, a in model.weights().items()}
    hidden = weights["model.embed_tokens.weight"][inputs]
    scores = recorded_ttml.bf16(hidden @ weights["lm_head.weight"].T).astype(np.float64)
    scores -= np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    wanted = -np.take_along_axis(scores, targets[..., None], axis=-1).mean()
    double.calls.clear()
    assert model.validate(inputs, targets) == pytest.approx(wanted, rel=1e-12)
    assert double.calls == [("forward", 4, False), "reset_graph"], "filled up to the batch"
    assert double.grad_mode is recorded_ttml.GradMode.ENABLED


def test_a_large_vocabulary_is_measured_in_parts(
    monkeypatch: pytest.MonkeyPatch, double: recorded_ttml.AutoContext,
    opened: Callable[..., TtTrainModel],
) -> None:  # fmt: skip
    model = opened()
    [(inputs, targets)] = batches(1)
    whole = model.validate(inputs, targets)
    monkeypatch.setattr("engine.backends.tt_train.model._ROOM_BYTES", 4 * 32 * 32 * 2)
    double.calls.clear()
    assert model.validate(inputs, targets) == pytest.approx(whole, rel=1e-12)
    assert double.calls.count(("forward", 2, False)) == 2


def test_the_next_token_is_that_after_the_last(opened: Callable[..., TtTrainModel]) -> None:
    model = opened()
    weights = {n: recorded_ttml.bf16(a) for n, a in model.weights().items()}
    scores = weights["model.embed_tokens.weight"][5] @ weights["lm_head.weight"].T
    found = model.next_logits([9, 9, 5])
    assert found.shape == (32,)
    assert np.array_equal(found, recorded_ttml.bf16(scores))


# Several chips


@pytest.mark.parametrize(("device", "chips"), [("n300", 2), ("p300c", 2), ("t3k", 8),
                                               ("galaxy", 32)])  # fmt: skip
def test_a_mesh_shares_the_batch_and_computes_the_same(
    monkeypatch: pytest.MonkeyPatch, opened: Callable[..., TtTrainModel], device: str, chips: int
) -> None:
    parts = batches(1, rows=32)
    alone = opened(batch_size=32, accumulation_steps=1)
    wanted = [alone.step(parts, 0.01, 5), alone.validate(*parts[0]), alone.weights()]
    alone.close()
    context = recorded_ttml.install(monkeypatch)
    mesh = open_tt_train(LLAMA, RUN.replace(device=device, batch_size=32, accumulation_steps=1))
    mesh.load(initial_weights(LLAMA, 3), {}, 0)
    assert ("open_device", [1, chips], None) in context.calls
    assert context.parallel == recorded_ttml.DistributedConfig(enable_ddp=True)
    found = [mesh.step(parts, 0.01, 5), mesh.validate(*parts[0]), mesh.weights()]
    order = [call for call in context.calls if call in ("synchronize_gradients", "step")]
    assert order == ["synchronize_gradients", "step", "step"]
    assert found[0].loss == pytest.approx(wanted[0].loss, rel=0.01)
    assert found[0].grad_norm == wanted[0].grad_norm
    assert found[1] == pytest.approx(wanted[1], rel=1e-12)
    assert all(np.array_equal(found[2][name], wanted[2][name]) for name in wanted[2])
    assert len(mesh.next_logits([1])) == 32
    mesh.close()


def test_the_second_card_of_one_chip_is_opened_by_its_number(
    double: recorded_ttml.AutoContext, opened: Callable[..., TtTrainModel]
) -> None:
    assert opened(device="p150:1").device == "p150:1"
    assert ("open_device", [1, 1], [1]) in double.calls


# Refusals


@pytest.mark.parametrize(
    ("spec", "changes", "field", "fix"),
    [
        (LLAMA.replace(vocab_size=65), {}, "vocab_size", {"vocab_size": 96}),
        (LLAMA.replace(norm="layernorm"), {}, "norm", {"norm": "rmsnorm"}),
        (LLAMA, {"optimizer": "sgd"}, "optimizer", {"optimizer": "adamw"}),
        (LLAMA, {"optimizer": "adafactor"}, "optimizer", {"optimizer": "adamw"}),
        (LLAMA, {"device": "cpu"}, "device", {"device": "n150"}),
        (LLAMA, {"device": "n300:1"}, "device", {"device": "n300:0"}),
        (LLAMA, {"device": "t3k"}, "batch_size", {"batch_size": 8}),
        (LLAMA, {"seq_len": 16}, "seq_len", {"seq_len": None}),
    ],
)
def test_what_it_cannot_do_is_refused_by_name_before_a_card_is_opened(
    double: recorded_ttml.AutoContext, spec: ModelSpec, changes: dict[str, Value], field: str,
    fix: dict[str, Value],
) -> None:  # fmt: skip
    with pytest.raises(SpecError) as caught:
        open_tt_train(spec, RUN.replace(**changes))
    assert (caught.value.field, caught.value.fix) == (field, fix)
    assert double.calls == []


def test_without_ttml_a_person_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ttml", None)
    with pytest.raises(SpecError, match="built from source"):
        open_tt_train(LLAMA, RUN)


def test_another_package_of_that_name_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ttml", ModuleType("ttml"))
    with pytest.raises(SpecError, match="another package of that name"):
        open_tt_train(LLAMA, RUN)


def test_a_ttml_with_unknown_parameters_gives_the_card_back(
    monkeypatch: pytest.MonkeyPatch, double: recorded_ttml.AutoContext
) -> None:
    class Newer(recorded_ttml.Llama):
        def parameters(self) -> recorded_ttml.NamedParameters:
            named = super().parameters()
            named["Llama/gate/weight"] = named["Llama/fc/weight"]
            return named

    monkeypatch.setattr(sys.modules["ttml.models.llama"], "Llama", Newer)
    with pytest.raises(RuntimeError, match="gate"):
        open_tt_train(LLAMA, RUN)
    assert double.calls[-1] == "close_device"


# Whole runs


@pytest.mark.parametrize("spec", [LLAMA, GPT], ids=["llama", "gpt2"])
def test_a_run_is_recorded_as_every_other(tmp_path: Path, spec: ModelSpec) -> None:
    directory = card_run(tmp_path, spec=spec)
    assert train_card(directory, open_tt_train).reason == "completed"
    losses = [v.loss for v in events(directory, Validation)]
    assert losses[-1] < losses[0] - 0.5
    assert [s.step for s in events(directory, Step)] == list(range(1, 31))
    assert {s.step for s in events(directory, Sample)} == {0, 10, 20, 30}
    assert events(directory, Saved)
    [started] = events(directory, Started)
    assert (started.device, started.precision) == ("n150:0", "bf16-mixed")
    warnings = [w.message for w in events(directory, Warned)]
    assert warnings[0] == "training by tt-train is not yet verified on hardware"
    assert directory.record().versions["ttnn"] == "0.81.1"


def test_validation_is_no_copy_of_the_training_loss(tmp_path: Path) -> None:
    directory = card_run(tmp_path)
    train_card(directory, open_tt_train)
    training = {s.step: s.loss for s in events(directory, Step)}
    for measured in events(directory, Validation)[1:]:
        assert measured.loss != training[measured.step]
        assert measured.measured_tokens == 320


def test_resumed_is_bit_for_bit_the_run_never_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halves = card_run(tmp_path, "whole"), card_run(tmp_path, "halves")
    assert train_card(whole, open_tt_train).reason == "completed"
    seeds = _seeds(recorded_ttml.CONTEXT)
    recorded_ttml.install(monkeypatch)
    assert train_card(halves, open_tt_train, listener=at_step(halves, 13, "stop")).step == 13
    halves.commands_file.unlink()
    assert train_card(halves, open_tt_train).reason == "completed"
    assert _seeds(recorded_ttml.CONTEXT) == seeds
    assert arrays_of(halves, 30) == arrays_of(whole, 30)


def _seeds(context: recorded_ttml.AutoContext) -> list[Any]:
    return [call for call in context.calls if call[0] == "set_seed"]


def test_fp32_is_told_to_be_computed_in_bf16(tmp_path: Path) -> None:
    directory = card_run(tmp_path, precision="fp32", steps=2, warmup_steps=0)
    train_card(directory, open_tt_train)
    [started] = events(directory, Started)
    assert started.precision == "bf16-mixed"
    assert any("it computes in bf16" in w.message for w in events(directory, Warned))


def test_a_refusal_is_a_failure_with_what_to_set(tmp_path: Path) -> None:
    directory = card_run(tmp_path, spec=LLAMA.replace(vocab_size=33))
    end = train_card(directory, open_tt_train)
    assert isinstance(end, Failed)
    assert end.message.startswith("vocab_size: ")
    assert end.advice == "Set vocab_size = 64"
    assert RunDirectory(directory.path).state() == "failed"


def test_the_batches_are_those_of_every_other_device(opened: Callable[..., TtTrainModel]) -> None:
    """What reaches the card is what the batch source gives, row by row."""
    ids = np.arange(4_000) % 31
    dataset = TokenDataset(ids, ids[:200], 31, 4_000, 200, 4_000, 200)
    inputs, targets = BatchSource(dataset, 4, 32, 9).training_batch(3)
    model, seen = opened(), []
    forward = recorded_ttml.Module.__call__

    def watched(self: Any, tensor: Any, mask: Any) -> Any:
        seen.append(tensor.value)
        return forward(self, tensor, mask)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorded_ttml.Module, "__call__", watched)
        model.step([(inputs, targets)], 0.01, 1)
    assert np.array_equal(seen[0][:, 0, 0], inputs)
