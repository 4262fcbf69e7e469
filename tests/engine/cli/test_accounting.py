"""The commands that only count: params, cost, devices, presets, parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.cost.calibration import Calibration, save
from engine.presets import load_presets, preset
from engine.run_spec import RunSpec, run_parameters
from engine.spec import model_parameters
from tests.computers import computer


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The one JSON document on standard output."""
    assert main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def text(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_params_json(capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "params", "nano-trickster")
    assert document["total"] == 5_180_672
    assert document["groups"] == {
        "embedding": 65_536, "attention": 1_572_864, "mlp": 3_538_944, "norm": 3_328,
    }  # fmt: skip
    weights = document["weights"]
    assert set(weights[0]) == {"name", "group", "shape", "copies"}
    sizes = 0
    for weight in weights:
        product = weight["copies"]
        for size in weight["shape"]:
            product *= size
        sizes += product
    assert sizes == document["total"]


@pytest.mark.parametrize("entry", [p for p in load_presets() if p.total], ids=lambda p: p.id)
def test_params_of_each_preset(entry: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "params", entry.id)["total"] == entry.total


def test_params_of_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "design.yaml"
    path.write_text("title: Mine\nmodel: {vocab_size: 65}\n")
    assert answer(capsys, "params", str(path))["total"] == 5_131_776
    assert text(capsys, "params", str(path)).startswith("Mine: 5,131,776 parameters")


def test_params_of_a_preset_check_what_its_source_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = answer(capsys, "params", "nano-trickster")
    first = document["claims"][0]
    assert set(first) == {"figure", "printed", "exact", "value", "why"}
    assert (first["printed"], first["value"]) == ("~11M", document["total"])
    printed = text(capsys, "params", "nano-trickster")
    lines = printed.splitlines()
    assert "What the lesson prints, and what is exact" in lines
    (row,) = [line for line in lines if line.startswith("Parameters of a block")]
    assert row.split()[-2:] == ["1.8M", "852,480"]
    assert max(map(len, lines)) <= 100


def test_a_changed_preset_has_no_claims(capsys: pytest.CaptureFixture[str]) -> None:
    change = ("--set", "model.num_layers=7")
    assert answer(capsys, "params", "nano-trickster", *change)["claims"] == []
    assert "prints" not in text(capsys, "params", "nano-trickster", *change)


def test_cost_json_has_the_agreed_keys(capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "cost", "nano-trickster")
    assert {"params", "flops_per_token", "memory", "kv_cache_bytes_per_token", "fit"} <= set(
        document
    )
    assert (document["params"], document["flops_per_token"]) == (5_180_672, 40_501_248)
    assert document["kv_cache_bytes_per_token"] == 6_144
    memory = document["memory"]
    assert {
        "weights_bytes", "gradients_bytes", "optimizer_bytes", "activations_bytes", "peak_bytes",
        "peak_phase",
    } <= set(memory)  # fmt: skip
    assert sum(memory["at_peak"].values()) == memory["peak_bytes"]
    devices = [fit["device"] for fit in document["fit"]]
    assert devices[0] == "cpu"
    assert devices[-7:] == ["n150", "n300", "t3k", "p100", "p150", "p300c", "galaxy"]
    for fit in document["fit"]:
        assert {"device", "capacity_bytes", "verdict", "reason"} <= set(fit)


def test_cost_says_what_lowers_the_peak_and_what_doubling_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = answer(capsys, "cost", "good-design", "--batch", "16")
    best = document["remedies"][0]
    assert best["changes"] == {"gradient_checkpointing": True}
    assert best["peak_bytes"] == document["memory"]["peak_bytes"] - best["saved_bytes"]
    with_it = answer(
        capsys, "cost", "good-design", "--batch", "16", "--set", "gradient_checkpointing=on"
    )
    assert with_it["memory"]["peak_bytes"] == best["peak_bytes"]
    twice = document["twice"]
    assert twice["layers"]["parameters"] == (5_180_672 + 6 * 852_480) / 5_180_672
    assert twice["context"]["parameters"] == 1
    by_tt_train = ("--set", "card_backend=tt-train")
    printed = text(capsys, "cost", "good-design", "--batch", "16", *by_tt_train)
    for words in ("what lowers the peak", "Gradient checkpointing", "twice the", "other arithmetic",
                  "data-parallel", "one chip", "nf4", "fp8"):  # fmt: skip
        assert words in printed


def test_cost_json_tells_caches_in_every_format_and_both_placements(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = answer(capsys, "cost", "llama-3-8b", "--set", "card_backend=tt-train")
    caches = document["kv_cache"]
    assert caches["bf16"]["bytes_per_token"] == 131_072
    assert caches["fp8"]["full_context_bytes"] == 65_536 * 8_192
    assert caches["4-bit"]["bytes_per_token"] == 36_864
    fits = {fit["device"]: fit for fit in document["fit"]}
    assert fits["n150"]["placement"] == "one chip"
    assert fits["n150"]["sharded_bytes"] is None
    assert fits["galaxy"]["placement"] == "data-parallel"
    assert fits["galaxy"]["sharded_verdict"] in ("fits", "tight", "does not fit")
    ours = answer(capsys, "cost", "llama-3-8b")["fit"]
    assert {fit["placement"] for fit in ours} == {"one chip"}


def test_cost_takes_the_runs_settings(capsys: pytest.CaptureFixture[str]) -> None:
    def peak(*more: str) -> int:
        return int(answer(capsys, "cost", "good-design", *more)["memory"]["peak_bytes"])

    whole = peak("--batch", "16")
    assert peak("--batch", "8") < whole
    assert peak("--batch", "16", "--seq", "128") < whole
    assert peak("--batch", "16", "--precision", "bf16") < whole
    assert peak("--batch", "16", "--optimizer", "sgd") < whole
    assert peak("--batch", "16", "--set", "gradient_checkpointing=on") < whole
    assert peak("--batch", "16", "--accumulation", "2") > whole


def test_params_and_cost_take_changes_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    sets = ["--set", "model.num_layers=12", "--set", "model.tied_embeddings=no"]
    changed = answer(capsys, "params", "good-design", *sets)["total"]
    assert changed == 5_180_672 + 6 * 852_480 + 65_536
    assert answer(capsys, "cost", "good-design", *sets, "--batch", "2")["params"] == changed
    one = answer(capsys, "params", "good-design", "--set", "model.num_heads=4")
    assert one["total"] == 5_180_672, "key/value heads follow the heads"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["params", "good-design", "--set", "model.num_heads=7"], "num_heads"),
        (["cost", "good-design", "--set", "model.num_heads=7"], "num_heads"),
        (["params", "good-design", "--set", "steps=7"], "written model.name=value"),
        (["cost", "good-design", "--set", "model.depth=7"], "not a parameter of a model"),
        (["cost", "good-design", "--set", "depth=7"], "not a setting of a run"),
        (["params", ""], "no design was named"), (["cost", "  "], "no design was named"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_help_shows_all_forms_of_a_design(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["params", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    for form in ("preset", "YAML or JSON", "config.json", "trickster:1?"):
        assert form in printed


def test_cost_of_one_device(capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "cost", "tinyllama-1.1b", "--device", "n150")
    assert [fit["device"] for fit in document["fit"]] == ["n150"]
    assert document["fit"][0]["verdict"] == "does not fit"
    assert document["device"] == "n150"
    assert document["step_s"]["kind"] == "estimate"
    updates = document["step_s"]["seconds"] * RunSpec().steps
    assert updates < document["total_s"]["seconds"] < 1.1 * updates


def test_cost_uses_what_was_measured_here(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("cost", "good-design", "--device", "cpu")
    assert answer(capsys, *arguments)["step_s"] is None
    assert "time on cpu: unknown" in text(capsys, *arguments)
    design = preset("good-design")
    save(computer(design.model, design.run, 0.5))
    step_s = answer(capsys, *arguments)["step_s"]
    assert step_s["kind"] == "measured"
    assert step_s["seconds"] == pytest.approx(0.5)
    assert step_s["low"] < 0.5 < step_s["high"]
    assert "time on cpu (measured)" in text(capsys, *arguments)
    other_threads = (*arguments, "--set", "threads=1")
    assert answer(capsys, *other_threads)["step_s"]["kind"] == "estimate"
    assert "time on cpu (estimate)" in text(capsys, *other_threads)


def test_a_damaged_calibration_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    path = save(Calibration((), {}, "cpu", 1.0))
    path.write_text("{")
    assert main(["cost", "gpt2"]) == 2
    assert "measure this computer's speed again" in capsys.readouterr().err


def test_cost_reads_well(capsys: pytest.CaptureFixture[str]) -> None:
    printed = text(capsys, "cost", "good-design")
    assert "5,180,672 parameters" in printed
    assert "at its fullest: " in printed
    assert "compute-optimal: 104 M" in printed
    assert "galaxy" in printed


def test_devices(capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "devices")
    assert document["devices"][0]["name"] == "cpu"
    assert len(document["cards"]) == 7
    assert document["cards"][5]["tflops"] == {"fp8": None, "fp16": None, "blockfp8": None}
    printed = text(capsys, "devices")
    assert "This computer" in printed
    assert "2,304*" in printed


def test_devices_shows_present_cards(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from engine.cli import devices
    from engine.devices.tenstorrent import Discovery, present_cards

    folder = tmp_path / "tenstorrent!0"
    folder.mkdir()
    for name, value in (("tt_card_type", "n300"), ("tt_serial", "s1"), ("tt_aiclk", "1000")):
        (folder / name).write_text(value)
    found = Discovery(present_cards(tmp_path), ("tt-smi did not answer",))
    monkeypatch.setattr(devices, "discover", lambda: found)
    monkeypatch.setattr(devices, "gpu_problem", lambda: "the driver hangs")
    document = answer(capsys, "devices")
    assert document["present_cards"][0]["card"] == "n300"
    assert document["present_cards"][0]["numbers"] == [0]
    assert document["card_problems"] == ["tt-smi did not answer"]
    printed = text(capsys, "devices")
    line = "n300:0: n300, 2 chips, /dev/tenstorrent/0, 1000 MHz, serial s1, from driver"
    assert line in printed
    assert "Not all could be asked about cards: tt-smi did not answer" in printed
    assert "could not be listed: the driver hangs" in printed


def test_presets(capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "presets")
    assert [entry["id"] for entry in document] == [entry.id for entry in load_presets()]
    assert document[1]["claims"][0]["exact"] == "5,180,672"
    printed = text(capsys, "presets")
    assert "1,100,048,384" in printed
    assert "impossible" in printed


def test_parameters_are_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "parameters")
    assert [entry["name"] for entry in document["model"]] == list(model_parameters())
    assert [entry["name"] for entry in document["run"]] == list(run_parameters())
    printed = text(capsys, "parameters")
    for name in (*model_parameters(), *run_parameters()):
        assert f"\n{name} (" in printed
