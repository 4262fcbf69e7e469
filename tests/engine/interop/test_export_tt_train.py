"""What is written for tt-train, read back as its own program reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.cost.parameters import count
from engine.devices.card import load_cards
from engine.interop.export_folder import export_design
from engine.interop.export_tt_train import tt_train_notes
from engine.interop.tt_train_rules import mesh_shape, tt_train_kind
from engine.parameter import SpecError, Value
from engine.presets import preset
from engine.run_directory import RunDirectoryError
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec, check

LLAMA, GPT = preset("nanollama3-char"), preset("nanogpt-char")
# The names in tt-train/configs/README.md and in the program that reads the files.
CARDS = [card.name for card in load_cards()]
PUBLISHED = {
    "training_config": {
        "project_name", "seed", "model_save_interval", "batch_size", "num_epochs", "max_steps",
        "gradient_accumulation_steps", "model_config", "data_path", "scheduler_type",
        "tokenizer_type", "optimizer", "use_clip_grad_norm", "clip_grad_norm_max_norm",
        "lr_warmup_steps", "lr_min", "lr_decay_steps",
    },
    "device_config": {"enable_ddp", "enable_tp", "mesh_shape", "device_ids"},
    "eval_config": {"repetition_penalty", "temperature", "top_k", "top_p"},
    "transformer_config": {
        "model_type", "model_path", "runner_type", "num_heads", "embedding_dim", "dropout_prob",
        "num_blocks", "vocab_size", "max_sequence_length", "weight_tying", "intermediate_dim",
        "theta", "num_groups", "rope_scaling", "positional_embedding_type", "experimental",
    },
    "optimizer": {
        "type", "lr", "beta1", "beta2", "epsilon", "weight_decay", "amsgrad",
        "stochastic_rounding", "momentum", "dampening", "nesterov",
    },
}  # fmt: skip


def written(folder: Path, spec: ModelSpec, run: RunSpec) -> dict[str, Any]:
    """All sections of both files."""
    names = export_design(spec, run, "A title: with # signs", folder)
    assert names == ("model.yaml", "training.yaml")
    training = yaml.safe_load((folder / "training.yaml").read_text(encoding="utf-8"))
    model_file = Path(training["training_config"]["model_config"])
    assert model_file == folder.resolve() / "model.yaml"
    return training | yaml.safe_load(model_file.read_text(encoding="utf-8"))


def read_back(found: dict[str, Any], base: ModelSpec, run: RunSpec) -> tuple[ModelSpec, RunSpec]:
    """The design and recipe that tt-train makes of the files, by the names it reads."""
    model, training, chosen = (
        found["transformer_config"], found["training_config"], found["training_config"]["optimizer"]
    )  # fmt: skip
    llama = model["model_type"] == "llama"
    scaling = model.get("rope_scaling")
    spec = base.replace(
        hidden_dim=model["embedding_dim"], num_layers=model["num_blocks"],
        num_heads=model["num_heads"], num_kv_heads=model.get("num_groups", model["num_heads"]),
        mlp_dim=model.get("intermediate_dim", 4 * model["embedding_dim"]),
        max_seq_len=model["max_sequence_length"], vocab_size=model["vocab_size"],
        dropout=model["dropout_prob"], tied_embeddings=model["weight_tying"] == "enabled",
        position="rope" if llama else "learned", norm="rmsnorm" if llama else "layernorm",
        activation="swiglu" if llama else "gelu",
        rope_theta=model["theta"] if llama else base.rope_theta,
        rope_scaling="llama3" if scaling else "none",
        rope_factor=scaling["scaling_factor"] if scaling else base.rope_factor,
    )  # fmt: skip
    if scaling:
        assert scaling["original_context_length"] == spec.original_seq_len
    warm = training["scheduler_type"] == "cosine_with_warmup"
    recipe = run.replace(
        seed=training["seed"], batch_size=training["batch_size"], steps=training["max_steps"],
        accumulation_steps=training["gradient_accumulation_steps"],
        grad_clip=training["clip_grad_norm_max_norm"] if training["use_clip_grad_norm"] else 0.0,
        learning_rate=chosen["lr"], weight_decay=chosen["weight_decay"],
        beta1=chosen["beta1"], beta2=chosen["beta2"],
        precision="bf16" if chosen["type"] == "AdamW" else "bf16-mixed",
        gradient_checkpointing=model["runner_type"] == "memory_efficient",
        warmup_steps=training["lr_warmup_steps"] if warm else 0,
        min_lr_ratio=training["lr_min"] / chosen["lr"] if warm else run.min_lr_ratio,
        temperature=found["eval_config"]["temperature"], top_k=found["eval_config"]["top_k"],
    )  # fmt: skip
    return spec, recipe


RECIPE = RunSpec(
    corpus="tiny-shakespeare", tokenizer="character", batch_size=64, steps=4_000, seed=77,
    accumulation_steps=3, learning_rate=2e-4, warmup_steps=40, min_lr_ratio=0.25, grad_clip=0.5,
    beta1=0.8, beta2=0.97, weight_decay=0.03, precision="bf16-mixed", temperature=0.5, top_k=7,
)  # fmt: skip


@pytest.mark.parametrize("run", [
    RECIPE, RECIPE.replace(precision="bf16", gradient_checkpointing=True),
    RECIPE.replace(schedule="constant", warmup_steps=0, grad_clip=0.0),
])  # fmt: skip
@pytest.mark.parametrize("spec", [
    LLAMA.model, GPT.model, LLAMA.model.replace(tied_embeddings=True, dropout=0.1),
    LLAMA.model.replace(rope_scaling="llama3", rope_factor=4.0),
])  # fmt: skip
def test_design_and_recipe_come_back(tmp_path: Path, spec: ModelSpec, run: RunSpec) -> None:
    found = written(tmp_path / "out", spec, run)
    back, recipe = read_back(found, spec, run)
    assert back == spec
    assert recipe.min_lr_ratio == pytest.approx(run.min_lr_ratio)
    assert recipe.replace(min_lr_ratio=0.0) == run.replace(min_lr_ratio=0.0)


@pytest.mark.parametrize(("entry", "parameters"), [(LLAMA, 9_810_816), (GPT, 10_819_584)])
def test_the_vendors_own_models_have_their_counts(
    tmp_path: Path, entry: Any, parameters: int
) -> None:
    back, _ = read_back(written(tmp_path / "out", entry.model, entry.run), entry.model, entry.run)
    assert count(back).total == parameters


@pytest.mark.parametrize("entry", [LLAMA, GPT], ids=lambda entry: entry.id)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "sgd-momentum"])
def test_only_published_names_are_written(tmp_path: Path, entry: Any, optimizer: str) -> None:
    run = entry.run.replace(optimizer=optimizer)
    found = written(tmp_path / "out", entry.model.replace(), run)
    for section, values in found.items():
        assert set(values) <= PUBLISHED[section]
    chosen = found["training_config"]["optimizer"]
    assert set(chosen) <= PUBLISHED["optimizer"]
    momentum = {"sgd": 0.0, "sgd-momentum": 0.9}
    assert chosen.get("momentum") == momentum.get(optimizer)


@pytest.mark.parametrize("device", CARDS)
def test_every_card_has_its_mesh(tmp_path: Path, device: str) -> None:
    shape = {"n300": [1, 2], "p300c": [1, 2], "t3k": [1, 8], "galaxy": [1, 32]}.get(device, [1, 1])
    run = RECIPE.replace(device=f"{device}:0")
    section = written(tmp_path / "out", LLAMA.model, run)["device_config"]
    assert section == {"enable_ddp": shape != [1, 1], "enable_tp": False, "mesh_shape": shape}
    assert mesh_shape(device) == tuple(shape)


def test_a_batch_that_chips_cannot_share_is_refused(tmp_path: Path) -> None:
    run = RECIPE.replace(device="t3k", batch_size=12)
    with pytest.raises(SpecError, match="12 sequences cannot be shared evenly") as caught:
        export_design(LLAMA.model, run, "", tmp_path / "out")
    assert caught.value.fix == {"batch_size": 16}
    assert not (tmp_path / "out").exists()


def test_the_vocabulary_is_rounded_up_and_that_is_said(tmp_path: Path) -> None:
    spec = LLAMA.model.replace(vocab_size=65)
    assert written(tmp_path / "out", spec, RECIPE)["transformer_config"]["vocab_size"] == 96
    assert "the vocabulary of 65 is rounded up to 96" in tt_train_notes(spec, RECIPE)
    assert "rounded up to 96" in (tmp_path / "out" / "training.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"norm": "layernorm"}, {"norm": "rmsnorm"}),
        ({"activation": "geglu"}, {"activation": "swiglu"}),
        ({"position": "alibi"}, {"position": "rope"}),
        ({"norm_position": "post"}, {"norm_position": "pre"}),
        ({"qkv_bias": True}, {"qkv_bias": False}),
        ({"head_bias": True}, {"head_bias": False}),
        ({"rope_scaling": "yarn"}, {"rope_scaling": "none"}),
        ({"head_dim": 32}, {"head_dim": None}),
        ({"max_seq_len": 250}, {"max_seq_len": 256}),
        ({"mlp_dim": 1_000}, {"mlp_dim": 1_024}),
        ({"num_heads": 8, "num_kv_heads": 8}, {"num_heads": 6, "num_kv_heads": 6}),
        ({"num_heads": 1, "num_kv_heads": 1}, {"num_heads": 2, "num_kv_heads": 1}),
    ],
)
def test_what_its_llama_cannot_have_is_refused_by_name_with_what_to_change(
    changes: dict[str, Value], fix: dict[str, Value]
) -> None:
    spec = LLAMA.model.replace(**changes)
    with pytest.raises(SpecError, match="nearest, its Llama, cannot have") as caught:
        tt_train_kind(spec)
    assert caught.value.fix == fix
    assert tt_train_kind(check(spec.replace(**fix))) == "llama"


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"activation": "relu"}, {"activation": "gelu"}),
        ({"mlp_dim": 1_024}, {"mlp_dim": 1_536}),
        ({"num_kv_heads": 2}, {"num_kv_heads": 6}),
        ({"qkv_bias": False, "mlp_bias": False}, {"qkv_bias": True, "mlp_bias": True}),
        ({"norm": "rmsnorm"}, {"norm": "layernorm"}),
        ({"hidden_dim": 360}, {"hidden_dim": 384, "mlp_dim": 1_536}),
    ],
)
def test_what_its_gpt2_cannot_have_is_refused_too(
    changes: dict[str, Value], fix: dict[str, Value]
) -> None:
    spec = GPT.model.replace(**changes)
    with pytest.raises(SpecError, match="nearest, its GPT-2, cannot have") as caught:
        tt_train_kind(spec)
    assert caught.value.fix == fix
    assert tt_train_kind(check(spec.replace(**fix))) == "gpt2"


@pytest.mark.parametrize(
    ("changes", "said", "fix"),
    [
        ({"seq_len": 64}, "whole context, 256 tokens", {"seq_len": None}),
        ({"optimizer": "adafactor"}, "no optimizer like adafactor", {"optimizer": "adamw"}),
        ({"tokenizer": "byte"}, "no tokenizer of bytes", {"tokenizer": "character"}),
    ],
)
def test_recipes_that_it_cannot_follow_are_refused(
    tmp_path: Path, changes: dict[str, Value], said: str, fix: dict[str, Value]
) -> None:
    run = check_run(RECIPE.replace(**changes), LLAMA.model)
    with pytest.raises(SpecError, match=said) as caught:
        export_design(LLAMA.model, run, "", tmp_path / "out")
    assert caught.value.fix == fix


def test_what_it_computes_otherwise_is_said() -> None:
    notes = "\n".join(tt_train_notes(GPT.model, RECIPE.replace(precision="fp32", device="n150")))
    assert "not yet verified on hardware" in notes
    assert "computes in bf16; in place of fp32" in notes
    assert "norms add 1e-06, not 1e-05" in notes
    assert "dropout is not applied to attention's scores" in notes
    assert "is no card" not in notes


def test_texts_are_named_by_what_it_can_read(tmp_path: Path) -> None:
    text = tmp_path / "mine.txt"
    text.write_text("abc", encoding="utf-8")
    own = written(tmp_path / "a", LLAMA.model, RECIPE.replace(corpus=str(text)))
    assert own["training_config"]["data_path"] == str(text)
    subwords = RECIPE.replace(tokenizer="bpe")
    ready = written(tmp_path / "b", LLAMA.model.replace(vocab_size=512), subwords)
    assert ready["training_config"]["data_path"] == "data/tiny-shakespeare.yaml"
    assert ready["training_config"]["tokenizer_type"] == "bpe"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("", encoding="utf-8")
    with pytest.raises(RunDirectoryError, match="name a new folder"):
        export_design(LLAMA.model, RECIPE, "", tmp_path)
